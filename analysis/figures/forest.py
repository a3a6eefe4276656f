"""The forest plot: how much better or worse than another each arm is, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from analysis.figures.drawing import BLACK, BLUE, FAINT, GREY, VERMILION, Drawing, new_page
from analysis.statistics import Comparison
from analysis.table import between, points, signed

NOTE = (
    "Points: difference in accuracy; lines: 95 % intervals, which hold together for all comparisons of a table; "
    "filled where 0 is left out."
)
BAND = "true differences that such runs find less than four times in five"
FILL = "\N{FIGURE SPACE}"  # as wide as a figure is


def forest(
    name: str, title: str, rows: Sequence[Comparison], labels: Mapping[str, str], marks: Iterable[str], note: str
) -> Drawing | None:
    """Draw one row for each comparison, the largest difference above; None where there is none.

    Args:
        name: of the figure.
        title: its headline.
        rows: differences in shares, drawn in points.
        labels: what stands at the left of each arm's row.
        marks: what the figure may not be taken for.
        note: on which runs it is based.
    """
    if not rows:
        return None
    rows = sorted(rows, key=lambda row: row.difference)
    page = new_page(0.85 + 0.34 * len(rows), title, marks, f"{note} {NOTE}")
    page.legend(handles=[Patch(color=FAINT, label=BAND)], loc="outside lower left")
    axes = page.subplots()
    axes.axvline(0.0, color=BLACK, linewidth=0.8, zorder=1)
    for place, row in enumerate(rows):
        draw_row(axes, place, row)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_yticks(range(len(rows)), [labels[row.arm] for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("difference, points of accuracy")
    verdicts = axes.secondary_yaxis("right")
    verdicts.set_yticks(range(len(rows)), right_labels(rows))
    verdicts.tick_params(length=0)
    verdicts.spines["right"].set_visible(False)
    return Drawing(name, title, alt_text(title, max(rows, key=lambda row: abs(row.difference)), labels), page)


def alt_text(title: str, most: Comparison, labels: Mapping[str, str]) -> str:
    """Say what a forest shows; its main number is the largest difference."""
    arm, found = labels[most.arm].replace("\n", " "), " ".join(numbers(most))
    return f"{title}, one row an arm: the largest difference is that of {arm}, {found} points ({most.verdict})."


def draw_row(axes: Axes, place: int, row: Comparison) -> None:
    low, middle, high, band = (100.0 * value for value in (row.low, row.difference, row.high, row.detectable))
    axes.barh(place, 2 * band, left=-band, height=1.0, color=FAINT, zorder=0)
    colour = BLUE if low > 0 else VERMILION if high < 0 else GREY
    axes.plot([low, high], [place, place], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=2)
    face = "white" if low <= 0 <= high else colour
    axes.plot(middle, place, "s", color=colour, markerfacecolor=face, markersize=5.5, zorder=3)


def right_labels(rows: Sequence[Comparison]) -> list[str]:
    """Return difference, interval and verdict of each row, filled up so that they stand below each other."""
    cells = [numbers(row) for row in rows]
    first, second = (max(map(len, column)) for column in zip(*cells, strict=True))
    return [
        f"{difference.rjust(first, FILL)} {interval.ljust(second, FILL)}   {row.verdict}"
        for (difference, interval), row in zip(cells, rows, strict=True)
    ]


def numbers(row: Comparison) -> tuple[str, str]:
    """Return difference and interval in points, rounded as in the tables."""
    difference, interval = signed(points(row.difference)), between(points(row.low), points(row.high), signed)
    return difference.replace("-", "\N{MINUS SIGN}"), f"({interval})".replace("-", "\N{MINUS SIGN}")
