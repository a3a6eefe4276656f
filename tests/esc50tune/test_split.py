"""Which folds train, validate and test."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from esc50tune.data.dataset import Clip, Dataset
from esc50tune.data.split import Split, search_split
from esc50tune.errors import UserError


def dataset(folds: int = 5) -> Dataset:
    """Two clips a fold, one of each class, each of a source of its own."""
    cells = itertools.product(range(1, folds + 1), (0, 1))
    return Dataset(Path("/data"), tuple(Clip(f"{f}-{t}.wav", f, t, "ab"[t], f"{f}{t}") for f, t in cells))


@pytest.mark.parametrize(
    ("test", "val", "train"),
    [(5, 4, (1, 2, 3)), (1, 2, (3, 4, 5)), (3, 1, (2, 4, 5)), (None, 5, (1, 2, 3, 4)), (None, 2, (1, 3, 4, 5))],
)
def test_all_folds_but_the_named_ones_train(test: int | None, val: int, train: tuple[int, ...]) -> None:
    assert search_split(dataset(), test, val) == Split(train, val, test)


def test_the_test_fold_is_on_no_other_side(tones: Dataset) -> None:
    for test, val in itertools.permutations(tones.folds, 2):
        split = search_split(tones, test, val)
        assert test not in (*split.train, split.val)
        assert sorted((*split.train, split.val, test)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("test", "val", "flag"), [(6, 4, "--test-fold 6"), (5, 0, "--val-fold 0")])
def test_a_fold_that_does_not_exist_is_refused_with_those_that_do(test: int, val: int, flag: str) -> None:
    with pytest.raises(
        UserError, match=rf"^{flag}: '/data' has the folds 1, 2, 3, 4, 5; give --test-fold and --val-fold$"
    ):
        search_split(dataset(), test, val)


def test_a_search_never_selects_on_its_test_fold() -> None:
    with pytest.raises(UserError, match="both 3"):
        search_split(dataset(), 3, 3)


@pytest.mark.parametrize(("folds", "test", "val"), [(2, 1, 2), (1, None, 1)])
def test_a_fold_must_be_left_to_train_on(folds: int, test: int | None, val: int) -> None:
    with pytest.raises(UserError, match="none is left to train on"):
        search_split(dataset(folds), test, val)
