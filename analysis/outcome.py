"""What the confirmed runs say: each arm's accuracy, and how it compares with the arm that it is against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.accuracy import accuracy_interval
from analysis.confirmed import Confirmed
from analysis.layout import Part, make_parts
from analysis.load import Results
from analysis.statistics import Comparison, compare

Interval = tuple[float, float, float]  # accuracy, and the ends of its interval


@dataclass(frozen=True)
class Outcome:
    """The numbers of the confirmed runs, by the arms' labels; shares, not percent.

    Attributes:
        parts: the tables that the arms stand in.
        accuracy: over all tested folds.
        comparisons: of each part, by its name, those of its arms that are compared with another.
        clean: accuracy on the fold that the search neither trained nor selected on; empty where that fold was not
            tested.
    """

    confirmed: Confirmed
    parts: list[Part]
    accuracy: dict[str, Interval]
    comparisons: dict[str, dict[str, Comparison]]
    clean: dict[str, Interval]

    @cached_property
    def against(self) -> dict[str, tuple[str, Comparison]]:
        """The label of the other, and the comparison, of each arm that has one; of several, that of the first part."""
        return {
            arm: (base, self.comparisons[part.name][arm])
            for part in reversed(self.parts)
            for base, others in part.groups.items()
            for arm in others
        }


def make_outcome(results: Results) -> Outcome | None:
    """Return what the confirmed runs say; None where there are none to tell of."""
    confirmed = results.confirmed
    if confirmed is None or not confirmed.block.folds:
        return None
    correct, folds, sources = confirmed.correct()
    parts = make_parts(results.manifest, list(correct))
    # A table answers one question: p values are adjusted over all of its comparisons, and over no others.
    of_folds = confirmed.clips["fold"].nunique()
    comparisons = {
        part.name: {one.arm: one for one in compare(correct, part.groups, folds, sources, of_folds=of_folds)}
        for part in parts
    }
    clean = accuracies(correct, folds, sources, folds == confirmed.manifest["test_fold"])
    everywhere = accuracies(correct, folds, sources, np.full(len(folds), True))
    return Outcome(confirmed, parts, everywhere, comparisons, clean)


def accuracies(
    correct: Mapping[str, np.ndarray], folds: np.ndarray, sources: np.ndarray, of: np.ndarray
) -> dict[str, Interval]:
    """Return each arm's accuracy with its interval over some of the clips; nothing where there are none of them."""
    if not of.any():
        return {}
    return {arm: accuracy_interval(right[:, of], folds[of], sources[of]) for arm, right in correct.items()}
