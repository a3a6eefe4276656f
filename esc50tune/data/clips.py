"""The clips that a search may see: those of its training folds and of its validation fold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from esc50tune.data.cache import ClipCache
from esc50tune.data.split import Split
from esc50tune.errors import UserError


class ClipSet:
    """Clips of some folds, in the order of the csv within a fold, without those of some source recordings.

    Attributes:
        labels: int64 [N].
        sources: source recording of each clip.
        left_out: how many clips of the folds are not in it.
    """

    def __init__(self, cache: ClipCache, folds: Sequence[int], without: Set[str] = frozenset()) -> None:
        rows = [(fold, row) for fold in folds for row in range(len(cache.labels[fold]))]
        self._arrays = {fold: cache.fold(fold) for fold in folds}
        self._places = [(fold, row) for fold, row in rows if cache.sources[fold][row] not in without]
        self.labels = torch.tensor([cache.labels[fold][row] for fold, row in self._places])
        self.sources = [cache.sources[fold][row] for fold, row in self._places]
        self.left_out = len(rows) - len(self._places)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds whose recordings it can reach."""
        return tuple(self._arrays)

    def waves(self, indices: Sequence[int]) -> Tensor:
        """Return the clips `indices` on the CPU: waveforms [B, 1, T] in -1..1, or features made beforehand."""
        rows = np.stack([self._arrays[fold][row] for fold, row in (self._places[i] for i in indices)])
        if rows.dtype == np.int16:
            return torch.from_numpy(rows[:, None, :]).float().div_(32_768.0)
        return torch.from_numpy(rows)


@dataclass(frozen=True)
class SearchData:
    """What a trial of a search learns from and is selected on. The test fold's array is never opened for it."""

    train: ClipSet
    val: ClipSet
    num_classes: int


def open_search_data(cache: ClipCache, split: Split) -> SearchData:
    """Open the training folds and the validation fold of `split`.

    A few sources have takes in several folds, ESC-50's own among them. A clip whose source is heard in the test fold is
    left out of both sides, one whose source is heard in the validation fold out of the training.

    Raises:
        UserError: that leaves nothing to validate on, or a class without a training clip.
    """
    tested = set() if split.test is None else set(cache.sources[split.test])
    val = ClipSet(cache, [split.val], without=tested)
    train = ClipSet(cache, split.train, without=tested | set(val.sources))
    if not len(val):
        raise UserError(f"validation fold {split.val} has no clip whose source is not in the test fold {split.test}")
    untrained = sorted(set(range(len(cache.classes))) - set(train.labels.tolist()))
    if untrained:
        raise UserError(
            f"class '{cache.classes[untrained[0]]}' has no clip of its own in the training folds {split.train}"
        )
    return SearchData(train, val, len(cache.classes))


def batches(size: int, order: Sequence[int]) -> Iterator[list[int]]:
    """Cut `order` into runs of `size`; the last may be shorter."""
    return (list(order[start : start + size]) for start in range(0, len(order), size))
