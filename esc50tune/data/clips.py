"""The clips that a search may see: those of its training folds and of its validation fold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from esc50tune.data.batch import Batch
from esc50tune.data.cache import ClipCache
from esc50tune.data.sending import send
from esc50tune.data.split import Split
from esc50tune.errors import UserError


class Clips(ABC):
    """Clips in an order.

    Attributes:
        labels: int64 [N].
        num_classes: of the whole dataset.
        are_features: whether they are what the model sees, with nothing left for the feature to compute.
    """

    labels: Tensor
    num_classes: int
    are_features: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def stored(self, indices: Sequence[int]) -> Tensor:
        """Return the clips `indices` as they are stored: 16-bit samples [B, T], or tensors as `waves` returns them."""

    @abstractmethod
    def codes(self, indices: Sequence[int]) -> Tensor | None:
        """Return their codes, int64 [B, N, T], or None where the feature has none."""

    def waves(self, indices: Sequence[int]) -> Tensor:
        """Return the clips `indices`: waveforms [B, 1, T] in -1..1, or features made beforehand."""
        stored = self.stored(indices)
        return stored[:, None].float().div_(32_768.0) if stored.dtype == torch.int16 else stored

    def places(self, indices: Sequence[int]) -> Tensor:
        """Return `indices` where the labels lie: to index a GPU's tensor by a list waits for the GPU."""
        return send(torch.tensor(indices), self.labels.device)

    def batch(self, indices: Sequence[int], device: torch.device) -> Batch:
        targets = F.one_hot(self.labels[self.places(indices)], self.num_classes).float()
        codes = self.codes(indices)
        codes = None if codes is None else send(codes, device)
        return Batch.of(send(self.waves(indices), device), send(targets, device), codes, self.are_features)


@dataclass
class ClipsInMemory(Clips):
    """Clips that are tensors already: waves [N, 1, T] or features [N, C, T], labels [N], and codes [N, books, T]."""

    held: Tensor
    labels: Tensor
    num_classes: int
    held_codes: Tensor | None = None
    are_features: bool = False

    def stored(self, indices: Sequence[int]) -> Tensor:
        return self.held[self.places(indices)]

    def codes(self, indices: Sequence[int]) -> Tensor | None:
        return None if self.held_codes is None else self.held_codes[self.places(indices)]


class ClipSet(Clips):
    """Clips of some folds, in the order of the csv within a fold, without those of some source recordings.

    Attributes:
        sources: source recording of each clip.
        left_out: how many clips of the folds are not in it.
    """

    def __init__(self, cache: ClipCache, folds: Sequence[int], without: Set[str] = frozenset()) -> None:
        rows = [(fold, row) for fold in folds for row in range(len(cache.labels[fold]))]
        self.num_classes = len(cache.classes)
        self._arrays = {fold: cache.fold(fold) for fold in folds}
        self._codes = {fold: cache.codes(fold) for fold in folds}
        self._places = [(fold, row) for fold, row in rows if cache.sources[fold][row] not in without]
        self.labels = torch.tensor([cache.labels[fold][row] for fold, row in self._places])
        self.sources = [cache.sources[fold][row] for fold, row in self._places]
        self.left_out = len(rows) - len(self._places)

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds whose recordings it can reach."""
        return tuple(self._arrays)

    def stored(self, indices: Sequence[int]) -> Tensor:
        return torch.from_numpy(np.stack([self._arrays[fold][row] for fold, row in (self._places[i] for i in indices)]))

    def codes(self, indices: Sequence[int]) -> Tensor | None:
        places = [self._places[i] for i in indices]
        if any(self._codes[fold] is None for fold, _ in places):
            return None
        return torch.from_numpy(np.stack([self._codes[fold][row] for fold, row in places])).long()


@dataclass(frozen=True)
class TrialData:
    """What a trial learns from and, in a search, is selected on. The test fold's array is never opened for it."""

    train: Clips
    val: Clips | None

    @property
    def num_classes(self) -> int:
        return self.train.num_classes


def open_search_data(cache: ClipCache, split: Split) -> TrialData:
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
    check_classes(train, cache, split.train)
    return TrialData(train, val)


def open_confirmation_data(cache: ClipCache, test_fold: int) -> TrialData:
    """Open all folds but one to train on, without the clips whose source is heard in that one.

    Raises:
        UserError: that leaves a class without a training clip.
    """
    folds = [fold for fold in cache.labels if fold != test_fold]
    train = ClipSet(cache, folds, without=set(cache.sources[test_fold]))
    check_classes(train, cache, folds)
    return TrialData(train, None)


def check_classes(train: ClipSet, cache: ClipCache, folds: Sequence[int]) -> None:
    untrained = sorted(set(range(len(cache.classes))) - set(train.labels.tolist()))
    if untrained:
        named = ", ".join(map(str, folds))
        raise UserError(f"class '{cache.classes[untrained[0]]}' has no clip of its own in the training folds {named}")


def batches(size: int, order: Sequence[int]) -> Iterator[list[int]]:
    """Cut `order` into runs of `size`; the last may be shorter."""
    return (list(order[start : start + size]) for start in range(0, len(order), size))
