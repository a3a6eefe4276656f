"""`python -m analysis results/<name>`: prints a sweep's tables and writes them into its folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from analysis.errors import ResultsError
from analysis.load import load_results
from analysis.render import as_csv, as_markdown, as_terminal
from analysis.tables import make_tables


def write_tables(folder: Path, console: Console) -> None:
    """Print the tables of a results folder and write each as Markdown and CSV into its `tables/`.

    Raises:
        ResultsError: the folder cannot be read, or nothing can be written into it.
    """
    results = load_results(folder)
    tables = make_tables(results)
    try:
        (folder / "tables").mkdir(exist_ok=True)
        for table in tables:
            console.print(as_terminal(table), "")
            for ending, text in (("md", as_markdown(table)), ("csv", as_csv(table, results))):
                path = folder / "tables" / f"{table.name}.{ending}"
                temporary = path.with_name(f".{path.name}")
                temporary.write_text(text)
                temporary.replace(path)
        console.print(tables[0].caption, markup=False, highlight=False)
    except OSError as error:
        raise ResultsError(f"cannot write into '{folder / 'tables'}': {error.strerror}") from None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    parser.add_argument("folder", type=Path, help="results folder of a sweep")
    args = parser.parse_args()
    try:
        write_tables(args.folder, Console())
    except ResultsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
