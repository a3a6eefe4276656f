"""Which folds a search trains on and selects on. The test fold is named here, and never opened."""

from __future__ import annotations

from dataclasses import dataclass

from esc50tune.data.dataset import Dataset
from esc50tune.errors import UserError


@dataclass(frozen=True)
class Split:
    """Folds by number; `test` is None when a study has no untouched fold left (the original study's way)."""

    train: tuple[int, ...]
    val: int
    test: int | None


def search_split(dataset: Dataset, test_fold: int | None, val_fold: int) -> Split:
    """Split for a search: all folds but `val_fold` and `test_fold` train.

    Raises:
        UserError: a fold does not exist, both are the same, or nothing is left to train on.
    """
    for flag, fold in (("--test-fold", test_fold), ("--val-fold", val_fold)):
        if fold is not None and fold not in dataset.folds:
            folds = ", ".join(map(str, dataset.folds))
            raise UserError(f"{flag} {fold}: '{dataset.root}' has the folds {folds}; give --test-fold and --val-fold")
    if test_fold == val_fold:
        raise UserError(f"--test-fold and --val-fold are both {val_fold}: a test fold is never selected on")
    train = tuple(fold for fold in dataset.folds if fold not in (test_fold, val_fold))
    if not train:
        raise UserError(f"'{dataset.root}' has {len(dataset.folds)} folds: none is left to train on")
    return Split(train, val_fold, test_fold)
