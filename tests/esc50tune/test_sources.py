"""No source recording is on two sides, in any data."""

from __future__ import annotations

import csv
import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from esc50tune.data import synthetic
from esc50tune.data.cache import ClipCache
from esc50tune.data.clips import open_search_data
from esc50tune.data.dataset import Dataset, read_dataset
from esc50tune.data.split import Split, search_split
from esc50tune.errors import UserError

SHARED = Path(__file__).parents[2].parent / "shared"
REAL = [Path(os.environ["ESC50_TEST_DATA"])] if "ESC50_TEST_DATA" in os.environ else sorted(SHARED.glob("esc*"))


def silent_cache(folder: Path, labels: dict[int, list[int]], sources: dict[int, list[str]]) -> ClipCache:
    """A cache whose clips are one silent sample: which clips are on which side depends on the sources alone."""
    for fold, rows in labels.items():
        np.save(folder / f"fold-{fold}.npy", np.zeros((len(rows), 1), np.int16))
    return ClipCache(folder, ["a", "b"], labels, sources, {})


def cache_of(dataset: Dataset, folder: Path) -> ClipCache:
    label = {name: i for i, name in enumerate(dataset.classes)}
    rows = {fold: [clip for clip in dataset.clips if clip.fold == fold] for fold in dataset.folds}
    cache = silent_cache(
        folder,
        {fold: [label[clip.category] for clip in clips] for fold, clips in rows.items()},
        {fold: [clip.src_file for clip in clips] for fold, clips in rows.items()},
    )
    cache.classes[:] = dataset.classes
    return cache


def assert_no_source_is_on_two_sides(dataset: Dataset, folder: Path, most_left_out: int) -> None:
    cache = cache_of(dataset, folder)
    sources = {fold: {clip.src_file for clip in dataset.clips if clip.fold == fold} for fold in dataset.folds}
    for test, val in itertools.product((*dataset.folds, None), dataset.folds):
        if test == val:
            continue
        data = open_search_data(cache, search_split(dataset, test, val))
        train_sources, val_sources = set(data.train.sources), set(data.val.sources)
        assert not train_sources & val_sources
        assert not (train_sources | val_sources) & sources.get(test, set())
        assert data.train.left_out + data.val.left_out <= most_left_out
        used = len(data.train) + data.train.left_out + len(data.val) + data.val.left_out
        assert used == sum(clip.fold != test for clip in dataset.clips)


def test_in_the_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "make_clip", lambda name, fold, take: np.zeros(1, np.int16))  # the csv is enough
    synthetic.write_stand_in(tmp_path / "stand-in")
    assert_no_source_is_on_two_sides(read_dataset(tmp_path / "stand-in"), tmp_path, most_left_out=0)


@pytest.mark.skipif(not REAL, reason="no real recordings here; ESC50_TEST_DATA may name a folder in ESC-50's layout")
def test_in_real_recordings(tmp_path: Path) -> None:
    for root in REAL:
        dataset = read_dataset(root)
        assert len({clip.src_file for clip in dataset.clips}) < len(dataset.clips)  # some sources have several takes
        assert_no_source_is_on_two_sides(dataset, tmp_path, most_left_out=10)


def leaky(folder: Path, *shared: int) -> ClipCache:
    """Five folds of four clips, each of its own source, but for the first of the folds `shared`: one source."""
    labels = {fold: [0, 0, 1, 1] for fold in range(1, 6)}
    sources = {fold: [f"{fold}{i}" for i in range(4)] for fold in range(1, 6)}
    for fold in shared:
        sources[fold][0] = "shared"
    return silent_cache(folder, labels, sources)


@pytest.mark.parametrize(
    ("shared", "train", "val"),
    [
        ((1, 3), (12, 0), (4, 0)),  # both train: nothing leaks
        ((2, 4), (11, 1), (4, 0)),  # training and validation: the training gives way
        ((2, 5), (11, 1), (4, 0)),  # training and test: the training gives way
        ((4, 5), (12, 0), (3, 1)),  # validation and test: the validation gives way
        ((1, 4, 5), (11, 1), (3, 1)),
    ],
)
def test_a_source_on_two_sides_is_left_out(tmp_path: Path, shared: tuple, train: tuple, val: tuple) -> None:
    data = open_search_data(leaky(tmp_path, *shared), Split((1, 2, 3), 4, 5))
    assert (len(data.train), data.train.left_out) == train
    assert (len(data.val), data.val.left_out) == val


def test_without_a_test_fold_its_sources_may_train(tmp_path: Path) -> None:
    data = open_search_data(leaky(tmp_path, 1, 5), Split((1, 2, 3, 5), 4, None))
    assert (len(data.train), data.train.left_out) == (16, 0)


def test_a_class_that_is_left_without_a_training_clip_is_named(tmp_path: Path) -> None:
    cache = silent_cache(tmp_path, {1: [0, 1], 2: [0, 1], 3: [0, 1]}, {1: ["x", "y"], 2: ["z", "y"], 3: ["v", "w"]})
    with pytest.raises(UserError, match=r"class 'b' has no clip of its own in the training folds 1"):
        open_search_data(cache, Split((1,), 2, 3))


def test_a_validation_fold_of_tested_sources_alone_is_refused(tmp_path: Path) -> None:
    cache = silent_cache(tmp_path, {1: [0, 1], 2: [0, 1], 3: [0, 1]}, {1: ["x", "y"], 2: ["v", "w"], 3: ["v", "w"]})
    with pytest.raises(UserError, match="validation fold 2 has no clip"):
        open_search_data(cache, Split((1,), 2, 3))


def test_reading_the_csv_of_a_leaky_folder_works(fresh_tones: Path) -> None:
    path = fresh_tones / "meta" / "esc50.csv"
    rows = list(csv.reader(path.open()))
    rows[1][4] = rows[-1][4]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert search_split(read_dataset(fresh_tones), 5, 4).train == (1, 2, 3)
