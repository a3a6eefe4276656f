"""Best of n: what the best of n trials of each arm is expected to score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes

from analysis.caption import counted
from analysis.figures.arms import look_of
from analysis.figures.drawing import LIGHT, Drawing, new_page, spread

TITLE = "Expected score of the best of n trials, by arm"
NOTE = (
    "Assumes that an arm's trials are drawn at random from its range, which its first, the default setting, is not. "
    "Trials that ran in full alone: where early stopping chose them, the curves are too high."
)


def best_of_n(curves: Mapping[str, Sequence[float]], labels: Mapping[str, str], marks: Iterable[str]) -> Drawing | None:
    """Draw each arm's curve; None where no arm has two trials that ran in full.

    Args:
        curves: of each arm, the expected best of 1, 2, ... trials.
        labels: what each arm of the sweep is called, in the sweep's order.
        marks: what the figure may not be taken for.
    """
    drawn = {arm: [100.0 * value for value in curves[arm]] for arm in labels if len(curves.get(arm, ())) > 0}
    most = max(map(len, drawn.values()), default=0)
    if most < 2:
        return None
    page = new_page(3.6, TITLE, marks, NOTE)
    axes = page.subplots()
    for number, arm in enumerate(labels):
        if arm in drawn:
            axes.plot(range(1, len(drawn[arm]) + 1), drawn[arm], **look_of(number).line, **look_of(number).point)
    axes.set_xticks(range(1, most + 1))
    axes.set_xlabel("n, trials that ran in full")
    axes.set_ylabel("expected best validation accuracy, %")
    name_curves(axes, drawn, labels)
    best = max(drawn, key=lambda arm: drawn[arm][-1])
    alt = f"Expected best validation accuracy of n trials for {counted(len(drawn), 'arm')}, assuming random points"
    highest = f"{labels[best]} ends highest, at {drawn[best][-1]:.1f} % for the best of {len(drawn[best])}"
    return Drawing("best-of-n", TITLE, f"{alt}; {highest}.", page)


def name_curves(axes: Axes, drawn: Mapping[str, Sequence[float]], labels: Mapping[str, str]) -> None:
    """Write each curve's name at the right, clear of the others, with a faint line from its end."""
    low, high = axes.get_ylim()
    places = spread([values[-1] for values in drawn.values()], gap=0.055 * (high - low))
    axes.set_ylim(min(low, places.min()), max(high, places.max()))
    right = max(map(len, drawn.values())) + 0.25
    for place, (arm, values) in zip(places, drawn.items(), strict=True):
        axes.plot([len(values), right], [values[-1], place], color=LIGHT, linewidth=0.8, zorder=0)
        axes.annotate(labels[arm], (right, place), (2, 0), textcoords="offset points", va="center")
