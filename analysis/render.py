"""A table in the terminal, as Markdown, and as CSV."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.console import Group
from rich.table import Table as TerminalTable
from rich.text import Text

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


def as_markdown(table: Table, with_caption: bool = True) -> str:
    """Return the table with its title and caption as Markdown."""
    columns = table.on_paper
    cells = [[cell.replace("|", r"\|") for cell in row] for row in table.cells(columns)]
    body = pd.DataFrame(cells, columns=[column.heading for column in columns]).to_markdown(
        index=False, colalign=["left" if column.words else "right" for column in columns], disable_numparse=True
    )
    caption = table.caption.replace("* UNTRAINED", r"\* UNTRAINED")  # at the start of a line it would make a list
    return f"## {table.title}\n\n{body}\n" + f"\n{caption}\n" * with_caption


def as_csv(table: Table) -> str:
    """Return the table as CSV, words before figures; what the figures come from stands in every row."""
    frame = table.frame.reset_index().assign(**table.source)
    if "feature" in frame:
        frame.insert(0, "feature", frame.pop("feature"))
    return frame.to_csv(index=False)
