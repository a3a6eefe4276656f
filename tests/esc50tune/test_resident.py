"""Clips on the device: the same batches and the same training as from where they are stored, where they fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from esc50tune.config import TrialConfig
from esc50tune.data.cache import ClipCache
from esc50tune.data.clips import ClipSet, ClipsInMemory, TrialData
from esc50tune.data.resident import ResidentClips, clip_bytes, on_gpu, resident
from esc50tune.speedups import without
from esc50tune.trial import train_trial

CPU, GPU = torch.device("cpu"), torch.device("cuda")
INDICES = [23, 0, 12, 0]


def latents(count: int) -> ClipsInMemory:
    generator = torch.Generator().manual_seed(count)
    codes = torch.randint(1024, (count, 2, 30), generator=generator)
    return ClipsInMemory(torch.randn(count, 128, 30, generator=generator), torch.arange(count) % 3, 3, codes)


@pytest.fixture(params=["waveforms", "latents"])
def data(request: pytest.FixtureRequest, tones_cache: ClipCache) -> TrialData:
    if request.param == "waveforms":
        return TrialData(ClipSet(tones_cache, [1, 2]), ClipSet(tones_cache, [3]))
    return TrialData(latents(70), latents(9))


def test_batches_are_those_of_the_clips(data: TrialData) -> None:
    there, here = resident(data, CPU), data
    for side in ("train", "val"):
        indices = INDICES if side == "train" else [5, 2]
        a, b = (getattr(clips, side).batch(indices, CPU) for clips in (there, here))
        assert torch.equal(a.waves, b.waves) and a.waves.dtype == b.waves.dtype
        assert torch.equal(a.targets, b.targets)
        assert (a.codes is None and b.codes is None) or torch.equal(a.codes, b.codes)
    assert (len(there.train), there.num_classes) == (len(here.train), here.num_classes)


def test_a_trial_trains_the_same(data: TrialData) -> None:
    latent = {"model": "causal", "feature": "encodec", "sample_rate": 24_000, "causal_blocks": 1, "code_lm": 1.0}
    raw = {"feature": "raw", "sample_rate": 1_000, "clip_seconds": 2.0, "convnext_width": 4}
    config = TrialConfig(epochs=2, mixup=0.4, **(raw if isinstance(data.train, ClipSet) else latent))
    a, b = (list(train_trial(config, each, CPU)) for each in (data, resident(data, CPU)))
    assert [replace(result, seconds=0.0) for result in a] == [replace(result, seconds=0.0) for result in b]


def test_waveforms_stay_16_bit_until_they_are_used(tones_cache: ClipCache) -> None:
    clips = ClipSet(tones_cache, [1])
    assert ResidentClips(clips, CPU).stored([0]).dtype == torch.int16
    assert clip_bytes(clips) == 2 * clips.waves([0]).shape[-1]
    assert clip_bytes(latents(2)) == 4 * 128 * 30 + 8 * 2 * 30


@pytest.mark.parametrize(("free", "fits"), [(1.1, True), (0.9, False)])
def test_clips_move_where_they_take_a_quarter_of_what_is_free(
    monkeypatch: pytest.MonkeyPatch, data: TrialData, free: float, fits: bool
) -> None:
    size = sum(len(side) * clip_bytes(side) for side in (data.train, data.val))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (4 * free * size, 1 << 60))
    monkeypatch.setattr("esc50tune.data.resident.resident", lambda *_: "there")
    assert (on_gpu(data, GPU) == "there") == fits
    assert on_gpu(data, CPU) is data
    with without("resident"):
        assert on_gpu(data, GPU) is data


def test_a_confirmed_run_has_nothing_to_validate_on(data: TrialData) -> None:
    assert resident(TrialData(data.train, None), CPU).val is None
