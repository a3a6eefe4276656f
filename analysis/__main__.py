"""`python -m analysis results/NAME`: prints a sweep's tables and writes its report."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from analysis.errors import ResultsError

if TYPE_CHECKING:
    from analysis.study import Study

OLDEST = (3, 10)  # Python
INSTALLING = (
    "`pip install pandas scipy matplotlib jinja2` brings all that a report needs; or `source .venv/bin/activate`, "
    "where `make` made that"
)


class OneSentenceParser(argparse.ArgumentParser):
    """Says what is wrong in one sentence instead of printing the usage before it."""

    def error(self, message: str) -> NoReturn:
        raise ResultsError(f"{message} (see --help)")


def show(study: Study) -> None:
    """Print the main tables and what a reader must know of them; as Markdown where rich is not installed."""
    if find_spec("rich"):
        from rich.console import Console

        from analysis.terminal import print_study

        print_study(study, Console())
    else:
        from analysis.render import as_markdown

        print("\n".join(as_markdown(table, with_caption=False) for table in study.main))
        print("\n".join(study.notes))


def show_all(studies: Sequence[Study]) -> None:
    """Show each study; where the reader goes away, as `head` does, the report is still wanted, and no traceback."""
    try:
        for study in studies:
            if len(studies) > 1:
                print(f"\n{study.results.manifest['name']}")
            show(study)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich exits
        drop_output()


def drop_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains while it closes stdout


def main() -> int:
    parser = OneSentenceParser(prog="python -m analysis", description=__doc__, allow_abbrev=False)
    parser.add_argument("folders", metavar="FOLDER", type=Path, nargs="+", help="results folders of sweeps")
    parser.add_argument("--out", type=Path, help="where the report goes (default: report/ in the first folder)")
    try:
        if sys.version_info[:2] < OLDEST:
            raise ResultsError(f"Python 3.10 or newer is needed, and {sys.executable} is older")
        args = parser.parse_args()
        from analysis.report import write_report  # late, so that neither --help nor a mistyped flag waits for pandas
        from analysis.study import read_study

        studies = [read_study(folder) for folder in args.folders]
        show_all(studies)
        index = write_report(studies, args.out or args.folders[0] / "report")
        print(f"\nreport    {index}", flush=True)
    except ResultsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "analysis"):
            raise
        print(f"error: the package '{package}' is not installed for {sys.executable}: {INSTALLING}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader had all but the report's place
        drop_output()
    return 0


if __name__ == "__main__":
    sys.exit(main())
