"""The benchmark of the cache: both sides read the same clips, and memory is counted as it is shared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from bench import data, memory
from bench.base import Options
from bench.study import study_config, write_noise
from esc50tune.data import cache as caches
from esc50tune.data.dataset import Dataset
from tests.bench.test_plain import CPU

ONCE = Options(CPU, rounds=1)


@pytest.fixture
def noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Six clips of 0.4 s."""
    monkeypatch.setattr(data, "SECONDS", 0.4)
    monkeypatch.setattr(data, "BATCH", 4)
    (tmp_path / "noise").mkdir()
    return write_noise(tmp_path / "noise", study_config("convnext-raw", CPU, clip_seconds=0.4, batch_size=3))


def test_a_plain_loop_resamples_what_the_cache_holds(noise: Dataset, tmp_path: Path):
    clips = data.ClipSet(data.opened(noise, 8_000, tmp_path), noise.folds)
    files = data.ResampledFiles([noise.audio_path(clip) for clip in noise.clips], clips.labels, 8_000)
    for i in range(len(clips)):
        torch.testing.assert_close(files[i][0], clips.waves([i])[0], rtol=0, atol=1e-4)
        assert files[i][1] == clips.labels[i]


def test_a_plain_loop_leaves_the_recorded_rate_alone(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", np.linspace(-0.5, 0.5, 441), 44_100, subtype="FLOAT")
    files = data.ResampledFiles([tmp_path / "a.wav"], torch.tensor([0]), 44_100)
    assert files[0][0][0].tolist() == pytest.approx(np.linspace(-0.5, 0.5, 441))


def test_only_a_start_without_the_cache_decodes(noise: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    decoded, original = [], caches.decode_all

    def counted(dataset: Dataset, rate: int, length: int, folder: Path) -> None:
        decoded.append(folder.parent.parent.name)
        original(dataset, rate, length, folder)

    monkeypatch.setattr(caches, "decode_all", counted)
    seconds = data.time_reading(noise, 8_000, tmp_path / "caches", ONCE)
    assert decoded == ["kept", "0", "1"]  # one round does not count
    assert {what: {side: len(each) for side, each in told.items()} for what, told in seconds.items()} == {
        "start": {"without": 1, "cached": 1},
        "epoch": {"without": 1, "cached": 1},
    }


@pytest.mark.slow
@pytest.mark.skipif(not memory.TOLD, reason="this system does not tell it")
def test_processes_share_the_cache_and_not_their_copies(tmp_path: Path, tones_cache: caches.ClipCache):
    size = 40_000_000
    index = tones_cache.folder / caches.INDEX
    clips = sum(len(labels) for labels in tones_cache.labels.values())
    (tmp_path / caches.INDEX).write_text(index.read_text())
    for fold, labels in tones_cache.labels.items():
        held = np.ones((len(labels), size // clips // 2), np.int16)
        np.save(tmp_path / f"fold-{fold}.npy", held)
    told = data.held_by_all(tmp_path, 2)
    assert told["copies"] == pytest.approx(2 * size, rel=0.2)
    assert told["cached"] == pytest.approx(size, rel=0.3)


def test_the_table_has_times_and_memory():
    seconds = {"start": {"without": [4.0], "cached": [2.0]}, "epoch": {"without": [9.0], "cached": [3.0]}}
    told = data.outcome({"seconds": {8_000: seconds}, "bytes": {2: {"copies": 80_000_000, "cached": 50_000_000}}})
    assert told.rows == [
        ("first batch, 8,000 Hz", "4 s", "2 s", "2.00 (2.00–2.00)"),
        ("epoch, 8,000 Hz", "9 s", "3 s", "3.00 (3.00–3.00)"),
        ("memory of 2 processes", "80.0 MB", "50.0 MB", "1.60"),
    ]
    assert memory.LEFT_OUT not in told.notes


def test_memory_that_is_not_told_is_left_out(noise: Dataset, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "TOLD", False)
    monkeypatch.setattr(data, "CLIPS", 4)
    told = data.run(ONCE)
    assert [row[0] for row in told.rows] == [
        f"{what}, {rate} Hz" for rate in ("44,100", "8,000") for what in ("first batch", "epoch")
    ]
    assert told.notes[-1] == memory.LEFT_OUT
