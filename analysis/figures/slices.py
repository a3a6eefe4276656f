"""Slices: the score of an arm's trials against each knob that the search varied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.caption import counted
from analysis.figures.drawing import BLACK, BLUE, FAINT, GREY, VERMILION, Drawing, legend_below, small_panels
from analysis.health import EDGE, edge_of

TITLE = "Score against each knob that the search varied, by arm"
NOTE = (
    "Score: validation accuracy at the end of the full schedule; trials without one are ticks at the bottom. Grey: the "
    "outer 5 % of the searched range; nothing beyond it was tried."
)
LOOKS = {
    "trial": {"linewidth": 0, "marker": "o", "color": GREY, "markersize": 5},
    "best of its arm": {"linewidth": 0, "marker": "*", "color": BLUE, "markersize": 10},
    "within 5 % of an end of the range": {
        "linewidth": 0,
        "marker": "s",
        "color": VERMILION,
        "markersize": 10,
        "markerfacecolor": "none",
        "markeredgewidth": 1.2,
    },
    "without a score": {"linewidth": 0, "marker": "|", "color": BLACK, "markersize": 7},
}

Range = Mapping[str, float]  # low, high, log: as in the manifest


def slices(
    points: pd.DataFrame,
    best: Mapping[str, int],
    spaces: Mapping[str, Mapping[str, Range]],
    labels: Mapping[str, str],
    marks: Iterable[str],
) -> Drawing | None:
    """Draw one panel for each varied knob of each arm; None where no trial of such an arm has a score.

    Args:
        points: one row a trial: arm, trial, score (missing where it did not finish), config with every knob.
        best: of each arm that has one, its best trial.
        spaces: of each arm, the range of each knob that the search varied.
        labels: what each arm is called; their order is that of the panels.
        marks: what the figure may not be taken for.
    """
    wanted = [(arm, knob) for arm in labels for knob in spaces[arm] if arm in best]
    if not wanted:
        return None
    page, panels = small_panels(len(wanted), "score, %", TITLE, marks, NOTE)
    at_edge = 0
    for axes, (arm, knob) in zip(panels, wanted, strict=True):
        axes.set_title(labels[arm], loc="left")
        at_edge += draw_slice(axes, points[points["arm"] == arm], best[arm], knob, spaces[arm][knob])
    panels[0].margins(y=0.15)  # room for the ticks at the bottom
    legend_below(page, LOOKS)
    alt = f"The score of each arm's trials against each varied knob, in {counted(len(wanted), 'panel')}"
    return Drawing("slices", TITLE, f"{alt}; in {at_edge} of them the best point lies at an end of the range.", page)


def draw_slice(axes: Axes, points: pd.DataFrame, best: int, knob: str, limits: Range) -> bool:
    """Draw one panel and tell whether the best point lies at an end of the range."""
    scored = points.dropna(subset=["score"])
    values, scores = knob_values(scored, knob), 100.0 * scored["score"].to_numpy()
    is_best = scored["trial"].to_numpy() == best
    edge = np.array([edge_of(value, limits) != "" for value in values], bool)
    draw_range(axes, knob, limits)
    for look, chosen in zip(LOOKS, (~is_best, is_best, edge), strict=False):  # the last look has no scores
        axes.plot(values[chosen], scores[chosen], **LOOKS[look])
    rest = knob_values(points[points["score"].isna()], knob)
    bottom = np.full(len(rest), 0.05)
    axes.plot(rest, bottom, transform=axes.get_xaxis_transform(), **LOOKS["without a score"])
    return bool((edge & is_best).any())


def draw_range(axes: Axes, knob: str, limits: Range) -> None:
    """Set a knob's axis to its range and shade the ends of it."""
    axes.set_xscale("log" if limits["log"] else "linear")
    ticks = [at_share(share, limits) for share in (0.0, 0.5, 1.0)]
    axes.set_xticks(ticks, [f"{tick:.2g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    for share in (0.0, 1.0 - EDGE):
        axes.axvspan(at_share(share, limits), at_share(share + EDGE, limits), color=FAINT, linewidth=0, zorder=0)
    axes.set_xlim(at_share(-EDGE, limits), at_share(1.0 + EDGE, limits))
    axes.set_xlabel(knob)


def at_share(share: float, limits: Range) -> float:
    """Return the value that lies at a share of the range, on the scale that it was searched on."""
    low, high = limits["low"], limits["high"]
    return low * (high / low) ** share if limits["log"] else low + share * (high - low)


def knob_values(points: pd.DataFrame, knob: str) -> np.ndarray:
    return np.array([config[knob] for config in points["config"]], float)
