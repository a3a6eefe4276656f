"""The clips that a search may see: those of its training folds and of its validation fold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from esc50tune.data.cache import ClipCache
from esc50tune.data.split import Split


class ClipSet:
    """Clips of some folds, in the order of the csv within a fold.

    Attributes:
        labels: int64 [N].
        sources: source recording of each clip.
    """

    def __init__(self, cache: ClipCache, folds: Sequence[int]) -> None:
        self._arrays = {fold: cache.fold(fold) for fold in folds}
        self._places = [(fold, row) for fold in folds for row in range(len(cache.labels[fold]))]
        self.labels = torch.tensor([label for fold in folds for label in cache.labels[fold]])
        self.sources = [source for fold in folds for source in cache.sources[fold]]

    def __len__(self) -> int:
        return len(self._places)

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds whose recordings it can reach."""
        return tuple(self._arrays)

    def waves(self, indices: Sequence[int]) -> Tensor:
        """Return the waveforms [B, 1, T] of the clips `indices`, floats in -1..1, on the CPU."""
        rows = [self._arrays[fold][row] for fold, row in (self._places[i] for i in indices)]
        return torch.from_numpy(np.stack(rows)[:, None, :]).float().div_(32_768.0)


@dataclass(frozen=True)
class SearchData:
    """What a trial of a search learns from and is selected on. The test fold's array is never opened for it."""

    train: ClipSet
    val: ClipSet
    num_classes: int


def open_search_data(cache: ClipCache, split: Split) -> SearchData:
    """Open the training folds and the validation fold of `split`."""
    return SearchData(ClipSet(cache, split.train), ClipSet(cache, [split.val]), len(cache.classes))


def batches(size: int, order: Sequence[int]) -> Iterator[list[int]]:
    """Cut `order` into runs of `size`; the last may be shorter."""
    return (list(order[start : start + size]) for start in range(0, len(order), size))
