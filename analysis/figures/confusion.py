"""The confusion matrix: what each class's clips are taken for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.patches import Rectangle

from analysis.error_tables import DRAWN, confusion_percents
from analysis.figures.drawing import VERMILION, Drawing, new_page
from analysis.table import percent

MARKED = 5
TICKS = (0, 1, 5, 20, 50, 100)
FEW = 12  # classes: no more than this leave room for figures in the cells


def confusion(
    truth: np.ndarray, predicted: np.ndarray, classes: Sequence[str], arm: str, marks: Iterable[str], note: str
) -> Drawing | None:
    """Draw the share of each class's predictions that went to each class; None where there are too many for a picture.

    Args:
        truth: [clips], each clip's class.
        predicted: [runs, clips], the class that each run took it for; -1 for none.
        classes: names in order.
        arm: whose runs they are.
        marks: what the figure may not be taken for.
        note: on which runs it is based.
    """
    if len(classes) > DRAWN:
        return None
    shares = confusion_percents(truth, predicted, len(classes))
    pairs = most_confused(shares)
    listed = [f"{classes[i]} as {classes[j]} ({shares[i, j]:.0f}\N{NO-BREAK SPACE}%)" for i, j in pairs]
    numbered = len(classes) > FEW  # then a box is not found by its classes' names
    boxed = [f"{number}\N{NO-BREAK SPACE}" * numbered + pair for number, pair in enumerate(listed, start=1)]
    title = f"What {arm} takes each class for"
    note = f"{note} Boxed, the most confused pairs: {', '.join(boxed) or 'none'}."
    page = new_page(height(classes), title, marks, note)
    axes = page.subplots()
    draw_matrix(axes, shares, classes)
    for number, (i, j) in enumerate(pairs, start=1):
        axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=VERMILION, linewidth=1.4))
        if numbered:
            axes.text(j + 0.6, i, str(number), color=VERMILION, weight="bold", va="center")
    right = percent((predicted == truth).mean())
    worst = f"; most often confused: {listed[0]}" if listed else ""
    alt = f"Confusion matrix of {arm} over {len(classes)} classes, {right:.1f} % of predictions right{worst}."
    return Drawing("confusion", title, alt, page)


def height(classes: Sequence[str]) -> float:
    """Return inches enough for all rows, the names below them, and the bar above."""
    return 1.0 + 0.065 * max(map(len, classes)) + max(0.22 * min(len(classes), 20), 0.125 * len(classes))


def most_confused(shares: np.ndarray) -> list[tuple[int, int]]:
    """Return the pairs of class and wrong class with the largest shares, the largest first; none of share 0."""
    wrong = shares * ~np.eye(len(shares), dtype=bool)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MARKED]
    return [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True) if wrong[i, j] > 0]


def draw_matrix(axes: Axes, shares: np.ndarray, classes: Sequence[str]) -> None:
    """Draw the shares, white to dark, with every class's name on both sides, and figures where there is room."""
    norm = PowerNorm(0.5, 0.0, 100.0)  # on an even scale most confusions would be as white as none
    image = axes.imshow(shares, cmap="Greys", norm=norm, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(classes)), classes, rotation=90)
    axes.set_yticks(range(len(classes)), classes)
    axes.tick_params(length=0)
    axes.set_xlabel("taken for")
    axes.set_ylabel("class")
    axes.spines[:].set_visible(True)
    bar = axes.figure.colorbar(image, ax=axes, location="top", aspect=60, pad=0.02, ticks=TICKS)
    bar.set_label("share of the class's predictions, %")
    bar.outline.set_visible(False)
    if len(classes) <= FEW:
        for (i, j), share in np.ndenumerate(shares):
            if share:
                axes.text(j, i, f"{share:.0f}", ha="center", va="center", color="white" if share > 25 else "black")
