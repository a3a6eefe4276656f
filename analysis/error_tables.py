"""Where the confirmed runs are wrong: the accuracy of each class, and the classes that are taken for each other."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.caption import errors_caption
from analysis.confirmed import Confirmed
from analysis.layout import mark, traits
from analysis.load import Results
from analysis.table import Column, Table, number, text

DRAWN = 500  # classes: the confusion matrix of more would be metres high, and soon too high to be drawn
PAIRS = 10  # the most confused ones that are told


def error_tables(results: Results, confirmed: Confirmed) -> list[Table]:
    arms = list(confirmed.block.arms)
    note = mark(results.stand_in, [traits(arm["fixed"])["encoder"] for arm in results.manifest["arms"]])
    by_class = [Column(text("class"), "class", words=True), Column(number("clips"), "clips")]
    by_pair = [Column(text("class"), "class", words=True), Column(text("taken for"), "taken for", words=True)]
    shares = [Column(number(arm, digits=0), arm) for arm in arms]  # of a class's few clips tenths say nothing
    pairs = confused_pairs(confirmed)
    tables = [
        Table(
            "per-class",
            "Accuracy in % by class, the hardest first" + note,
            errors_caption(results, "Accuracy in %"),
            per_class(confirmed),
            [*by_class, *shares],
        )
    ]
    if len(pairs):
        title = "The most confused pairs of classes over all arms" + note
        caption = errors_caption(results, "Share in % of a class's predictions that name the other,")
        if (classes := len(results.manifest["data"]["classes"])) > DRAWN:
            caption += f" The confusion matrix is not drawn: it has no room for {classes} classes."
        tables.append(Table("confused-pairs", title, caption, pairs, [*by_pair, *shares]))
    return tables


def per_class(confirmed: Confirmed) -> pd.DataFrame:
    """Return each class's accuracy in percent by arm, the hardest class first."""
    correct, _, _ = confirmed.correct()
    categories = confirmed.tested["category"].to_numpy()
    shares = pd.DataFrame({arm: 100.0 * right.mean(axis=0) for arm, right in correct.items()})
    frame = shares.groupby(categories).mean().round(2)
    frame.insert(0, "clips", pd.Series(categories).value_counts().reindex(frame.index))
    hardest = frame.drop(columns="clips").mean(axis=1).sort_values(kind="stable").index
    return frame.loc[hardest].rename_axis("class")


def confused_pairs(confirmed: Confirmed) -> pd.DataFrame:
    """Return the pairs of a class and what it is taken for, with the share in percent of its predictions by arm."""
    names = confirmed.manifest["data"]["classes"]
    targets = confirmed.tested["target"].to_numpy()
    shares = {arm: confusion_percents(targets, classes, len(names)) for arm, classes in confirmed.predicted().items()}
    total = sum(shares.values()) * ~np.eye(len(names), dtype=bool)
    most = [np.unravel_index(place, total.shape) for place in np.argsort(-total, axis=None, kind="stable")[:PAIRS]]
    rows = [
        {"class": names[true], "taken for": names[taken]}
        | {arm: round(float(matrix[true, taken]), 2) for arm, matrix in shares.items()}
        for true, taken in most
        if total[true, taken]
    ]
    return pd.DataFrame(rows, columns=["class", "taken for", *shares]).set_index("class")


def confusion_percents(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return the share in percent of each class's predictions, a row, that name each class, a column."""
    counts = np.zeros((classes, classes))
    seen = predicted >= 0
    np.add.at(counts, (np.broadcast_to(targets, predicted.shape)[seen], predicted[seen]), 1)
    size = np.bincount(targets, minlength=classes) * len(predicted)
    return 100.0 * counts / np.maximum(size, 1)[:, None]
