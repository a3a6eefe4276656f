"""`python -m analysis results/NAME`: prints a sweep's tables and writes its report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from analysis.alerts import alerts
from analysis.errors import ResultsError
from analysis.render import as_terminal
from analysis.study import Study, read_study, write_table_files


def write_tables(folder: Path, console: Console) -> None:
    """Print the main tables of a results folder with its health checks, and write all its tables into its `tables/`.

    Raises:
        ResultsError: the folder cannot be read, or nothing can be written into it.
    """
    study = read_study(folder)
    try:
        write_table_files(study.tables, folder / "tables")
    except OSError as error:
        raise ResultsError(f"cannot write into '{folder / 'tables'}': {error.strerror}") from None
    print_study(study, console)


def print_study(study: Study, console: Console) -> None:
    for table in study.main:
        console.print(as_terminal(table), "")
    caption = study.main[0].caption
    unsaid = [sentence for sentence in alerts(study.results) if sentence not in caption]
    for paragraph in (caption, *unsaid, *(f"Check: {sentence}" for sentence in study.health)):
        console.print(paragraph, markup=False, highlight=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    parser.add_argument("folders", metavar="FOLDER", type=Path, nargs="+", help="results folders of sweeps")
    parser.add_argument("--out", type=Path, help="where the report goes (default: report/ in the first folder)")
    args, console = parser.parse_args(), Console()
    from analysis.report import write_report  # late: a sweep's own tables need no Matplotlib

    try:
        studies = [read_study(folder) for folder in args.folders]
        for study in studies:
            if len(studies) > 1:
                console.print(f"\n{study.results.manifest['name']}", style="bold", markup=False, highlight=False)
            print_study(study, console)
        index = write_report(studies, args.out or args.folders[0] / "report")
    except ResultsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    console.print(f"\nreport    {index}", markup=False, highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
