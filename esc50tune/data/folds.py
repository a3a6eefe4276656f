"""Deals clips to folds: a source's clips stay together, and each class is spread evenly."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence


def deal_folds(classes: Sequence[str], sources: Sequence[str], folds: int) -> dict[str, int]:
    """Return the fold, 1 to `folds`, of each source; which follows from the clips alone.

    Sources are dealt from the largest to the smallest, each to the fold that leaves the shares of its classes the least
    uneven, by the sum of their squares; of equal ones, to that with the fewest clips. A class gets into every fold if
    it has as many sources as there are folds, and none of them holds another class.

    Args:
        classes: class of each clip.
        sources: source of each clip.
    """
    total, held = Counter(classes), {fold: Counter() for fold in range(1, folds + 1)}
    clips = defaultdict(Counter)
    for name, source in zip(classes, sources, strict=True):
        clips[source][name] += 1
    dealt = {}
    for source, counts in sorted(clips.items(), key=lambda item: (-item[1].total(), item[0])):
        uneven = {
            fold: sum(there[name] * n / total[name] ** 2 for name, n in counts.items()) for fold, there in held.items()
        }
        dealt[source] = min(held, key=lambda fold: (uneven[fold], held[fold].total(), fold))
        held[dealt[source]] += counts
    return dealt
