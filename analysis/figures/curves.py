"""Learning curves: validation accuracy by epoch of every trial, one panel an arm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.caption import counted
from analysis.figures.drawing import BLACK, BLUE, GREY, Drawing, legend_below, small_panels

TITLE = "Learning curves of all trials, by arm"
DASHES = {"finished": "-", "stopped": "--"}  # dotted: cut by divergence, an error or an interrupt
LEGEND = {
    "best": {"color": BLUE, "linewidth": 2.2},
    "finished": {"color": GREY, "linewidth": 0.9},
    "stopped": {"color": GREY, "linewidth": 0.9, "linestyle": "--"},
    "cut: diverged, failed, interrupted": {"color": GREY, "linewidth": 0.9, "linestyle": ":", "marker": "x"},
    "rung": {"color": BLACK, "linewidth": 0, "marker": "|", "markersize": 7, "markeredgewidth": 1.2},
}


def learning_curves(
    curves: pd.DataFrame,
    best: Mapping[str, int],
    rungs: Mapping[str, list[int]],
    labels: Mapping[str, str],
    marks: Iterable[str],
) -> Drawing | None:
    """Draw one panel for each arm that ran; None where none did.

    Args:
        curves: one row an epoch: arm, trial, reason, epoch, val_acc.
        best: of each arm that has one, its best trial.
        rungs: of each arm whose trials are judged, the epochs at which they are.
        labels: what each arm is called; their order is that of the panels.
        marks: what the figure may not be taken for.
    """
    arms = [arm for arm in labels if (curves["arm"] == arm).any()]
    if not arms:
        return None
    page, panels = small_panels(len(arms), "validation accuracy, %", TITLE, marks)
    for axes, arm in zip(panels, arms, strict=True):
        axes.set_title(labels[arm], loc="left")
        draw_arm(axes, curves[curves["arm"] == arm], best.get(arm), rungs.get(arm, []))
        axes.set_xlim(0.0, 1.04 * curves["epoch"].max())  # the same for arms that came less far
    panels[0].set_ylim(bottom=0.0)
    for axes in panels[-panels[0].get_gridspec().ncols :]:
        axes.set_xlabel("epoch")
    legend_below(page, LEGEND)
    return Drawing("learning-curves", TITLE, alt_text(curves, best, labels), page)


def draw_arm(axes: Axes, curves: pd.DataFrame, best: int | None, rungs: list[int]) -> None:
    for trial, curve in curves.groupby("trial"):
        reason, accuracy = curve["reason"].iloc[0], 100.0 * curve["val_acc"]
        if trial == best:
            axes.plot(curve["epoch"], accuracy, zorder=1, **LEGEND["best"])  # below the thin lines: it hides none
            last = (curve["epoch"].iloc[-1], accuracy.iloc[-1])
            looks = {"color": BLUE, "weight": "bold", "va": "center"}
            axes.annotate(f"{last[1]:.1f}", last, (5, 0), textcoords="offset points", **looks)
        else:
            end = {"marker": "." if reason in DASHES else "x", "markersize": 4, "markevery": [-1]}
            axes.plot(curve["epoch"], accuracy, DASHES.get(reason, ":"), color=GREY, linewidth=0.9, **end)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.vlines(rungs, 0.0, 0.08, transform=axes.get_xaxis_transform(), color=BLACK, linewidth=1.2)


def alt_text(curves: pd.DataFrame, best: Mapping[str, int], labels: Mapping[str, str]) -> str:
    says = f"Validation accuracy by epoch of {counted(curves['trial'].nunique(), 'trial')}, one panel an arm"
    if not best:
        return f"{says}; none ran its full schedule."
    last = curves[curves["trial"].isin(best.values())].groupby("arm")["val_acc"].last()
    return f"{says}; the best, of {labels[last.idxmax()]}, ends at {100.0 * last.max():.1f} %."
