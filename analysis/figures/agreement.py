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


def rank_agreement(points: pd.DataFrame, labels: Mapping[str, str], marks: Iterable[str]) -> Drawing | None:
    """Draw accuracy at the end against that at the first rung; None where fewer than three trials have both.

    Args:
        points: one row a trial that ran in full: arm, first, end.
        labels: what each arm of the sweep is called, in the sweep's order.
        marks: what the figure may not be taken for.
    """
    if len(points) < FEWEST:
        return None
    tau = agreement(points)
    title = f"Accuracy at the first rung and at the end: Kendall's τ = {tau} ({len(points)} trials)"
    page = new_page(4.0, title, marks, NOTE)
    axes = page.subplots()
    for number, (arm, label) in enumerate(labels.items()):
        own = points[points["arm"] == arm]
        if len(own):
            about = f"{label}: τ {agreement(own)} ({len(own)})"
            axes.plot(100.0 * own["first"], 100.0 * own["end"], linewidth=0, label=about, **look_of(number).point)
    axes.set_xlabel("validation accuracy at the first rung, %")
    axes.set_ylabel("validation accuracy at the end, %")
    page.legend(loc="outside right center", handletextpad=0.4)
    alt = f"Validation accuracy of {len(points)} trials at the end of their schedule against that at the first rung"
    return Drawing("rank-agreement", title, f"{alt}; Kendall's tau is {tau}.", page)


def agreement(points: pd.DataFrame) -> str:
    """Return Kendall's tau in two digits; a dash where there is none: too few trials, or all are alike."""
    tau = kendalltau(points["first"], points["end"]).statistic if len(points) >= FEWEST else float("nan")
    return "–" if pd.isna(tau) else f"{tau:.2f}".replace("-", "\N{MINUS SIGN}")
