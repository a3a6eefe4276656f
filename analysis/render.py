"""A table in the terminal, as Markdown, and as CSV."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.table import Table as TerminalTable

from analysis.load import Results
from analysis.tables import Table

# column of the frame -> heading in Markdown
HEADINGS = {
    "best": "best, %",
    "difference": "difference, points",
    "default": "default setting, %",
    "median": "median, %",
    "train of best": "training accuracy of the best, %",
    "full": "full runs",
    "seconds": "training, s",
}
ONLY_IF_ANY = ("diverged", "failed")


def cell(column: str, value: float) -> str:
    if pd.isna(value):
        return "–"
    if column == "difference":
        return f"{value:+.1f}"
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def as_terminal(table: Table) -> TerminalTable:
    """Return the table for a terminal of 80 columns, without its caption."""
    frame = table.frame
    columns = {
        "best %": [cell("best", value) for value in frame["best"]],
        "diff.": [cell("difference", value) for value in frame["difference"]],
        "default": [cell("default", value) for value in frame["default"]],
        "median": [cell("median", value) for value in frame["median"]],
        "train": [cell("train", value) for value in frame["train of best"]],
        "full": [f"{full}/{trials}" for full, trials in zip(frame["full"], frame["trials"], strict=True)],
        "epochs": [f"{value:,}" for value in frame["epochs"]],
        "seconds": [f"{value:,.0f}" for value in frame["seconds"]],
        "params": [f"{value / 1e6:.2f} M" for value in frame["parameters"]],
    }
    shown = TerminalTable(title=table.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    shown.add_column("arm", no_wrap=True)
    for name in columns:
        shown.add_column(name, justify="right", no_wrap=True)
    for row in zip(frame.index, *columns.values(), strict=True):
        shown.add_row(*row)
    return shown


def as_markdown(table: Table) -> str:
    """Return the table with its title and caption as Markdown."""
    frame = table.frame.drop(columns=[name for name in ONLY_IF_ANY if not table.frame[name].any()])
    for name in frame:
        frame[name] = [cell(name, value) for value in frame[name]]
    frame = frame.rename(columns=HEADINGS).reset_index()
    align = ["left" if name == "arm" else "right" for name in frame]
    body = frame.to_markdown(index=False, colalign=align, disable_numparse=True)
    return f"## {table.title}\n\n{body}\n\n{table.caption}\n"


def as_csv(table: Table, results: Results) -> str:
    """Return the table as CSV; what the figures come from stands in every row."""
    frame = table.frame.reset_index()
    frame["data"] = results.manifest["data"]["title"]
    split = results.manifest["split"]
    kept = f"test fold {split['test']} untouched" if split["test"] is not None else "NO TEST FOLD"
    frame["selected on"] = f"validation fold {split['val']}, best of a search: optimistic; {kept}"
    return frame.to_csv(index=False)
