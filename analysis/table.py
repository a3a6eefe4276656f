"""A table: its figures, what stands above and below it, and how each column is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One column as people read it.

    Attributes:
        cell: what stands in it, from a row of the table's frame.
        heading: above it on paper (Markdown, LaTeX, HTML); None: it is not there.
        short: above it in the terminal; None: it is not there.
        words: it holds no figures.
    """

    cell: Callable[[Row], str]
    heading: str | None
    short: str | None = None
    words: bool = False


@dataclass(frozen=True)
class Table:
    """A table with the caption that says what it is.

    Attributes:
        name: its file name without an ending.
        title: its headline.
        caption: data, folds, and what the figures may not be taken for.
        frame: the figures, as a CSV file has them; accuracies and differences in percent and points.
        columns: how they are written elsewhere.
        baselines: the rows that those below them are compared with.
        source: what the figures come from, for every row of a CSV file.
    """

    name: str
    title: str
    caption: str
    frame: pd.DataFrame
    columns: list[Column]
    baselines: list[str] = field(default_factory=list)
    source: dict[str, str] = field(default_factory=dict)

    @property
    def on_paper(self) -> list[Column]:
        return [column for column in self.columns if column.heading is not None]

    @property
    def in_terminal(self) -> list[Column]:
        return [column for column in self.columns if column.short is not None]

    def cells(self, columns: list[Column]) -> list[list[str]]:
        """Return the text of each row's cells."""
        rows = self.frame.reset_index().to_dict("records")
        return [[column.cell(row) for column in columns] for row in rows]

    @property
    def starts(self) -> list[bool]:
        """For each row, whether a line parts it from the row above: it is what those below it are compared with."""
        return [number > 0 and name in self.baselines for number, name in enumerate(self.frame.index)]


def text(key: str) -> Callable[[Row], str]:
    return lambda row: str(row[key])


def number(key: str, digits: int = 1) -> Callable[[Row], str]:
    """Write a figure with thousands separated; an integer has no digits after the point."""
    return lambda row: figure(row[key], digits)


def difference(key: str) -> Callable[[Row], str]:
    return lambda row: signed(row[key])


def probability(key: str) -> Callable[[Row], str]:
    return lambda row: "< 0.001" if row[key] < 0.001 else figure(row[key], digits=3)


def interval(low: str, high: str, write: Callable[[float], str]) -> Callable[[Row], str]:
    return lambda row: between(row[low], row[high], write)


def arm_name(row: Row) -> str:
    """Write the arm, with a star where its encoder is untrained."""
    return row["arm"] + " *" * (row["encoder"] == "untrained")


def figure(value: float, digits: int = 1) -> str:
    if pd.isna(value):
        return "–"
    return f"{value:,.{digits}f}" if isinstance(value, float) else f"{value:,}"


def signed(points: float) -> str:
    """Write a difference to a tenth of a point, and more finely where that would hide on which side of 0 it is; of one
    that is closer to 0, only the side is told."""
    if pd.isna(points):
        return "–"
    if not points:
        return "0.0"
    digits = next((digits for digits in (1, 2, 3) if round(points, digits)), None)
    return f"{points:+.{digits}f}" if digits else f"{'>' if points > 0 else '<'} 0"


def between(low: float, high: float, write: Callable[[float], str]) -> str:
    """Write an interval; one that reaches to both sides of 0, but on neither as far as can be written, as 0."""
    if pd.isna(low) or pd.isna(high):
        return "–"
    ends = [write(low), write(high)]
    return " to ".join(["0.0", "0.0"] if ends == ["< 0", "> 0"] else ends)


def millions(count: int) -> str:
    return f"{count / 1e6:.2f} M" if count < 10_000_000 else f"{count / 1e6:.1f} M"


def percent(share: float) -> float:
    """Return a share in percent, to four digits: fewer, and what is written of it, to a tenth, was rounded twice."""
    return round(100.0 * float(share), 4) if pd.notna(share) else float("nan")


def points(share: float) -> float:
    """Return a difference of shares in points, to four digits, but never as 0 where it is not."""
    return round(100.0 * share, 4) or math.copysign(1e-4, share) * bool(share)
