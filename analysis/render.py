"""A table in the terminal, as Markdown, and as CSV."""

from __future__ import annotations

from collections.abc import Iterable

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
WORDS = ("feature", "arm")  # the columns that hold no figures


def cell(column: str, value: float) -> str:
    if pd.isna(value):
        return "–"
    if column == "difference":
        return f"{value:+.1f}"
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def millions(count: int) -> str:
    return f"{count / 1e6:.2f} M" if count < 10_000_000 else f"{count / 1e6:.1f} M"


def marked(frame: pd.DataFrame) -> list[str]:
    """Return the arms' names, with a star where the encoder is untrained."""
    return [arm + " *" * (encoder == "untrained") for arm, encoder in zip(frame.index, frame["encoder"], strict=True)]


def with_arms(frame: pd.DataFrame, arms: Iterable[str]) -> pd.DataFrame:
    """Return the frame with its words, the features where it has them and the arms, in columns before its figures."""
    frame = frame.assign(arm=arms)
    return frame[[*(name for name in WORDS if name in frame), *frame.columns.difference(WORDS, sort=False)]]


def as_terminal(table: Table) -> TerminalTable:
    """Return the table for a terminal of 80 columns, without its caption; a line stands above each baseline's rows."""
    frame = table.frame
    columns = {
        "best": [cell("best", value) for value in frame["best"]],
        "diff.": [cell("difference", value) for value in frame["difference"]],
        "default": [cell("default", value) for value in frame["default"]],
        "median": [cell("median", value) for value in frame["median"]],
        "train": [cell("train", value) for value in frame["train of best"]],
        "full": [f"{full}/{trials}" for full, trials in zip(frame["full"], frame["trials"], strict=True)],
        "epochs": [f"{value:,}" for value in frame["epochs"]],
        "secs": [f"{value:,.0f}" for value in frame["seconds"]],
        "params": [millions(value) for value in frame["parameters"]],
    }
    # Edges, which would be empty, are left out for their two columns; the title brings the empty line below it.
    shown = TerminalTable(
        title=f"{table.title}\n", title_justify="left", box=box.HORIZONTALS, show_edge=False, padding=0
    )
    shown.add_column("arm", no_wrap=True)
    for name in columns:
        shown.add_column(name, justify="right", no_wrap=True)
    ends = [following in table.baselines for following in frame.index[1:]]
    for *row, end in zip(marked(frame), *columns.values(), [*ends, False], strict=True):
        shown.add_row(*row, end_section=end)
    return shown


def as_markdown(table: Table) -> str:
    """Return the table with its title and caption as Markdown."""
    empty = [name for name in ONLY_IF_ANY if not table.frame[name].any()]
    frame = with_arms(table.frame, marked(table.frame)).drop(columns=["encoder", *empty])
    for name in frame.columns.difference(WORDS):
        frame[name] = [cell(name, value) for value in frame[name]]
    align = ["left" if name in WORDS else "right" for name in frame]
    frame = frame.rename(columns=HEADINGS)
    body = frame.to_markdown(index=False, colalign=align, disable_numparse=True)
    caption = table.caption.replace("* UNTRAINED", r"\* UNTRAINED")  # at the start of a line it would make a list
    return f"## {table.title}\n\n{body}\n\n{caption}\n"


def as_csv(table: Table, results: Results) -> str:
    """Return the table as CSV; what the figures come from stands in every row."""
    frame = with_arms(table.frame, table.frame.index)
    frame["data"] = results.manifest["data"]["title"]
    split = results.manifest["split"]
    kept = f"test fold {split['test']} untouched" if split["test"] is not None else "NO TEST FOLD"
    frame["selected on"] = f"validation fold {split['val']}, best of a search: optimistic; {kept}"
    return frame.to_csv(index=False)
