"""A table in the terminal, as Markdown, and as CSV."""

from __future__ import annotations

import pandas as pd
import rich.table

from analysis.load import Results
from analysis.tables import Table

HEADINGS = {
    "best": "best, %",
    "difference": "difference, points",
    "default": "default setting, %",
    "median": "median, %",
    "train of best": "best's training, %",
    "full": "full runs",
    "seconds": "training, s",
}


def text_frame(table: Table) -> pd.DataFrame:
    """Return the table's cells as text, with its headings; what is not known is an en dash."""
    frame = table.frame.copy()
    for name in frame:
        frame[name] = [cell(name, value) for value in frame[name]]
    frame = frame.loc[:, ~((frame.columns.isin(["diverged", "failed"])) & (frame == "0").all())]
    return frame.rename(columns=HEADINGS).reset_index()


def cell(column: str, value: float) -> str:
    if pd.isna(value):
        return "–"
    if column == "difference":
        return f"{value:+.1f}"
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def as_rich(table: Table) -> rich.table.Table:
    """Return the table for a terminal."""
    frame = text_frame(table)
    shown = rich.table.Table(title=table.title, caption=table.caption, title_justify="left", caption_justify="left")
    for name in frame:
        shown.add_column(name, justify="left" if name == "arm" else "right", overflow="fold")
    for row in frame.itertuples(index=False):
        shown.add_row(*row)
    return shown


def as_markdown(table: Table) -> str:
    """Return the table with its title and caption as Markdown."""
    frame = text_frame(table)
    align = ["left" if name == "arm" else "right" for name in frame]
    body = frame.to_markdown(index=False, colalign=align, disable_numparse=True)
    return f"## {table.title}\n\n{body}\n\n{table.caption}\n"


def as_csv(table: Table, results: Results) -> str:
    """Return the table as CSV, full precision; what the figures come from stands in every row."""
    frame = table.frame.reset_index()
    frame["data"] = results.manifest["data"]["title"]
    frame["selected on"] = f"validation fold {results.manifest['split']['val']}, best of a search: optimistic"
    return frame.to_csv(index=False)
