"""What a search may see of the clips, and what is out of its reach."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from esc50tune.config import TrialConfig
from esc50tune.data.cache import INDEX, ClipCache
from esc50tune.data.clips import ClipSet, ClipsInMemory, TrialData, batches, open_search_data
from esc50tune.data.dataset import Dataset
from esc50tune.data.split import Split, search_split
from esc50tune.trial import train_trial


def test_the_sides_hold_their_folds_and_no_other(tones_data: TrialData) -> None:
    assert tones_data.train.folds == (1, 2, 3)
    assert tones_data.val.folds == (4,)
    assert (len(tones_data.train), len(tones_data.val), tones_data.num_classes) == (36, 12, 3)


@pytest.mark.parametrize("test", [1, 2, 3, 4, 5])
def test_no_side_reaches_the_test_fold(tones: Dataset, tones_cache: ClipCache, test: int) -> None:
    for val in set(tones.folds) - {test}:
        data = open_search_data(tones_cache, search_split(tones, test, val))
        assert test not in data.train.folds + data.val.folds
        own = {clip.src_file for clip in tones.clips if clip.fold == test}
        assert own.isdisjoint(data.train.sources + data.val.sources)
        assert len(data.train) + len(data.val) == 48


def test_without_a_test_fold_all_others_train(tones: Dataset, tones_cache: ClipCache) -> None:
    data = open_search_data(tones_cache, search_split(tones, None, 4))
    assert data.train.folds == (1, 2, 3, 5)
    assert (len(data.train), len(data.val)) == (48, 12)


@pytest.fixture
def without_test_fold(tones_cache: ClipCache, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(tones_cache.folder, tmp_path / "clips"))
    (folder / "fold-5.npy").unlink()
    return folder


def test_a_search_opens_and_trains_all_the_same_without_the_test_fold_on_the_disk(
    without_test_fold: Path, tones_data: TrialData, small: dict
) -> None:
    index = json.loads((without_test_fold / INDEX).read_text())
    index["labels"]["5"], index["sources"]["5"] = [], []
    (without_test_fold / INDEX).write_text(json.dumps(index))
    config, cpu = TrialConfig.from_flat(small | {"epochs": 1}), torch.device("cpu")
    blind = open_search_data(ClipCache.at(without_test_fold), Split((1, 2, 3), 4, 5))
    results = [next(train_trial(config, data, cpu)) for data in (tones_data, blind)]
    assert results[0].val_loss is not None
    assert replace(results[0], seconds=0.0) == replace(results[1], seconds=0.0)


def test_clips_labels_and_sources_go_together(tones: Dataset, tones_cache: ClipCache) -> None:
    clips = ClipSet(tones_cache, [3, 1])
    rows = [clip for fold in (3, 1) for clip in tones.clips if clip.fold == fold]
    assert clips.labels.tolist() == [row.target for row in rows]
    assert clips.labels.dtype == torch.int64
    assert clips.sources == [row.src_file for row in rows]
    expected = np.concatenate([np.load(tones_cache.folder / f"fold-{fold}.npy") for fold in (3, 1)])
    np.testing.assert_array_equal(clips.waves(range(len(clips)))[:, 0].numpy(), expected / np.float32(32_768))


@pytest.mark.parametrize("indices", [[0], [23, 0, 12, 11], [5, 5]], ids=["one", "across folds", "twice"])
def test_waves_come_in_the_asked_order(tones_cache: ClipCache, indices: list[int]) -> None:
    clips = ClipSet(tones_cache, [1, 2])
    waves, every = clips.waves(indices), clips.waves(range(24))
    assert waves.shape == (len(indices), 1, 2_000)
    assert waves.dtype == torch.float32
    assert torch.equal(waves, every[indices])


def test_folds_of_unequal_size_keep_clips_labels_and_sources_together(tmp_path: Path) -> None:
    for fold, levels in ((1, [10]), (3, [30, 31, 32])):
        np.save(tmp_path / f"fold-{fold}.npy", np.repeat(np.array(levels, np.int16)[:, None], 5, axis=1))
    cache = ClipCache(tmp_path, ["a", "b"], {1: [0], 3: [1, 1, 0]}, {1: ["p"], 3: ["q", "r", "s"]}, {})
    clips = ClipSet(cache, [3, 1])
    assert (clips.waves(range(4))[:, 0, 0] * 32_768).tolist() == [30, 31, 32, 10]
    assert clips.labels.tolist() == [1, 1, 0, 0]
    assert clips.sources == ["q", "r", "s", "p"]


def test_waves_span_minus_one_to_one(tmp_path: Path) -> None:
    np.save(tmp_path / "fold-1.npy", np.array([[-32_768, 0, 16_384, 32_767]], np.int16))
    clips = ClipSet(ClipCache(tmp_path, ["a"], {1: [0]}, {1: ["s"]}, {}), [1])
    assert clips.waves([0]).tolist() == [[[-1.0, 0.0, 0.5, 32_767 / 32_768]]]


def test_codes_go_with_their_clips(tmp_path: Path) -> None:
    (tmp_path / "coded").mkdir()
    for fold, numbers in ((1, [10]), (3, [30, 31, 32])):
        np.save(tmp_path / f"fold-{fold}.npy", np.float32(numbers)[:, None, None] + np.zeros((1, 4, 5), np.float32))
        codes = np.array(numbers)[:, None, None] + 100 * np.arange(2)[:, None] + np.zeros((1, 1, 5))
        np.save(tmp_path / "coded" / f"codes-{fold}.npy", codes.astype(np.int16))
    cache = ClipCache(tmp_path / "coded", ["a", "b"], {1: [0], 3: [1, 1, 0]}, {1: ["p"], 3: ["q", "r", "s"]}, {}, "..")
    clips = ClipSet(cache, [3, 1], without={"q"})
    codes = clips.codes([2, 0, 2])
    assert codes.dtype == torch.int64
    assert codes.shape == (3, 2, 5)
    assert codes[:, :, 0].tolist() == [[10, 110], [31, 131], [10, 110]]
    assert torch.equal(codes, codes[:, :, :1].expand(-1, -1, 5))
    assert clips.waves([2, 0, 2])[:, 3, 4].tolist() == [10.0, 31.0, 10.0]


def test_clips_without_codes_have_none(tones_cache: ClipCache) -> None:
    assert ClipSet(tones_cache, [1, 2]).codes([0, 13]) is None


@pytest.mark.parametrize("coded", [False, True])
def test_a_batch_is_of_the_asked_clips_whole_and_unmixed(coded: bool) -> None:
    codes = torch.arange(24).view(4, 2, 3) if coded else None
    clips = ClipsInMemory(torch.randn(4, 5, 3), torch.tensor([2, 0, 1, 2]), 3, codes)
    batch = clips.batch([3, 1], torch.device("cpu"))
    assert torch.equal(batch.waves, torch.stack([clips.held[3], clips.held[1]]))
    assert batch.targets.tolist() == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    assert batch.shares.tolist() == [[1.0], [1.0]]
    assert len(batch) == 2
    if coded:
        assert batch.codes.tolist() == [[[[18, 19, 20], [21, 22, 23]]], [[[6, 7, 8], [9, 10, 11]]]]
    else:
        assert batch.codes is None


def test_changing_a_batch_changes_nothing_on_the_disk(tones_cache: ClipCache) -> None:
    clips = ClipSet(tones_cache, [1])
    before = clips.waves([0]).clone()
    clips.waves([0]).zero_()
    assert before.any()
    assert torch.equal(clips.waves([0]), before)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(2, [[4, 3], [2, 1], [0]]), (5, [[4, 3, 2, 1, 0]]), (9, [[4, 3, 2, 1, 0]]), (1, [[4], [3], [2], [1], [0]])],
)
def test_batches_cut_an_order_into_runs(size: int, expected: list[list[int]]) -> None:
    assert list(batches(size, [4, 3, 2, 1, 0])) == expected


def test_no_order_has_no_batches() -> None:
    assert list(batches(4, [])) == []
