"""Rank agreement: whether the first rung already orders trials as their end does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd
from scipy.stats import kendalltau

from analysis.figures.arms import look_of
from analysis.figures.drawing import Drawing, new_page

NOTE = (
    "Trials that ran in full: how the others would have ended is not known. Legend: each arm's own τ, which is what "
    "its rungs rely on, and its number of trials."
)
FEWEST = 3  # trials: the tau of two is 1 or -1, whatever they are


def rank_agreement(points: pd.DataFrame, by: str, labels: Mapping[str, str], marks: Iterable[str]) -> Drawing | None:
    """Draw the accuracy at the end against what the first rung judged by; None where fewer than three trials have both.

    Args:
        points: one row a trial that ran in full: arm, first, end (an accuracy).
        by: what the rung judged by: 'accuracy', or 'loss', of which less is better.
        labels: what each arm of the sweep is called, in the sweep's order.
        marks: what the figure may not be taken for.
    """
    if len(points) < FEWEST:
        return None
    scale, unit = (-1.0, "") if by == "loss" else (100.0, ", %")
    points = points.assign(first=scale * points["first"], end=100.0 * points["end"])
    tau = agreement(points)
    title = f"{by.capitalize()} at the first rung and accuracy at the end: Kendall's τ = {tau} ({len(points)} trials)"
    page = new_page(4.0, title, marks, NOTE)
    axes = page.subplots()
    for number, (arm, label) in enumerate(labels.items()):
        own = points[points["arm"] == arm]
        if len(own):
            about = f"{label}: τ {agreement(own)} ({len(own)})"
            axes.plot(own["first"], own["end"], linewidth=0, label=about, **look_of(number).point)
    axes.set_xlabel(f"{'minus ' * (by == 'loss')}validation {by} at the first rung{unit}")
    axes.set_ylabel("validation accuracy at the end, %")
    page.legend(loc="outside right center", handletextpad=0.4)
    alt = f"Validation accuracy of {len(points)} trials at the end of their schedule against {by} at the first rung"
    return Drawing("rank-agreement", title, f"{alt}; Kendall's tau is {tau}.", page)


def agreement(points: pd.DataFrame) -> str:
    """Return Kendall's tau in two digits; a dash where there is none: too few trials, or all are alike."""
    tau = kendalltau(points["first"], points["end"]).statistic if len(points) >= FEWEST else float("nan")
    return "–" if pd.isna(tau) else f"{tau:.2f}".replace("-", "\N{MINUS SIGN}")
