"""Tables and notes in a terminal, by rich."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console, Group
from rich.table import Table as TerminalTable
from rich.text import Text

from analysis.errors import ResultsError
from analysis.study import Study, read_study, write_table_files
from analysis.table import Table


def as_terminal(table: Table) -> Group:
    """Return the table for a terminal of 80 columns, without its caption; a line stands above each baseline's rows."""
    # Edges, which would be empty, are left out for their two columns.
    shown = TerminalTable(box=box.HORIZONTALS, show_edge=False, padding=0)
    for column in table.in_terminal:
        shown.add_column(column.short, justify="left" if column.words else "right", no_wrap=True)
    ends = [*table.starts[1:], False]
    for cells, end in zip(table.cells(table.in_terminal), ends, strict=True):
        shown.add_row(*cells, end_section=end)
    # The title is none of the table's own, which would be wrapped where the table is narrow.
    return Group(Text(table.title, style="italic"), "", shown)


def print_study(study: Study, console: Console) -> None:
    """Print the main tables, and what a reader must know of them."""
    for table in study.main:
        console.print(as_terminal(table), "")
    for note in study.notes:
        lines = Text(note).wrap(console, console.width)
        for line in lines:
            line.rstrip()  # wrap leaves the blank at which it breaks a line
        console.print(Text("\n").join(lines))


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
