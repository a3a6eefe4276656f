"""What only a GPU can show. `make gpu-check` runs these; without one they are skipped."""

from __future__ import annotations

import itertools
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from esc50tune.config import TrialConfig
from esc50tune.data.clips import ClipsInMemory, TrialData
from esc50tune.data.resident import ResidentClips
from esc50tune.regularizers import REGULARIZERS
from esc50tune.seeds import stream
from esc50tune.speedups import without
from esc50tune.trial import EpochResult, Trainer, train_trial
from sweeps.cost import measure
from sweeps.packing import clips_a_second
from sweeps.studies import regularization

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
CPU, DEVICE = torch.device("cpu"), torch.device("cuda")

SMALL = {"epochs": 3, "batch_size": 8, "sample_rate": 8_000, "clip_seconds": 1.0, "convnext_width": 16}
LATENT = {"feature": "encodec", "sample_rate": 24_000, "clip_seconds": 1.0, "epochs": 3, "batch_size": 8}
MODELS = {
    "hifigan on raw audio": SMALL | {"feature": "raw", "model": "hifigan"},
    "convnext on raw audio": SMALL | {"feature": "raw", "convnext_kernel": 49, "convnext_form": "seed"},
    "convnext on log-mel": SMALL,
    "convnext on latents": LATENT | {"convnext_width": 16},
    "causal on latents": LATENT | {"model": "causal", "causal_blocks": 2, "code_lm": 1.0},
}


def make_data(config: TrialConfig) -> TrialData:
    """Make clips that are classes of loudness."""
    generator = torch.Generator().manual_seed(0)

    def clips(count: int) -> ClipsInMemory:
        labels = torch.arange(count) % 3
        if config.feature == "encodec":
            codes = torch.randint(1024, (count, 2, 75), generator=generator)
            return ClipsInMemory(
                torch.randn(count, 128, 75, generator=generator) * (1 + labels[:, None, None]), labels, 3, codes
            )
        noise = 0.1 * torch.randn(count, 1, 8_000, generator=generator) * (1 + labels[:, None, None])
        return ClipsInMemory(noise.clamp(-1, 1), labels, 3)

    return TrialData(clips(26), clips(11))


def epochs(config: TrialConfig, device: torch.device, checkpoint: Path | None = None) -> list[EpochResult]:
    return list(train_trial(config, make_data(config), device, checkpoint))


@pytest.mark.parametrize("name", MODELS)
def test_a_model_learns_on_the_gpu_what_it_learns_on_a_cpu(name: str) -> None:
    config = TrialConfig.from_flat(MODELS[name] | {"precision": "fp32", "lr": 1e-4})
    there, here = epochs(config, DEVICE), epochs(config, CPU)
    for a, b in zip(there, here, strict=True):
        assert a.train_loss == pytest.approx(b.train_loss, rel=0.01)
        assert a.val_loss == pytest.approx(b.val_loss, rel=0.01)


@pytest.mark.parametrize("name", MODELS)
def test_bfloat16_is_close_to_single_precision(name: str) -> None:
    config = TrialConfig.from_flat(MODELS[name] | {"lr": 1e-4})
    assert config.precision == "auto"
    exact = epochs(config.model_copy(update={"precision": "fp32"}), DEVICE)
    for a, b in zip(epochs(config, DEVICE), exact, strict=True):
        assert a.train_loss == pytest.approx(b.train_loss, rel=0.1)


def arm_config(arm: str) -> TrialConfig:
    method = regularization().arms[arm]
    small = LATENT | {"model": "causal", "causal_blocks": 2} if arm == "code-lm" else SMALL | method.fixed
    shorter = {"crop_seconds": 0.5} if arm == "crop" else {}
    return TrialConfig.from_flat(small | method.own | shorter | {"epochs": 2})


@pytest.mark.parametrize("arm", sorted(set(regularization().arms)))
def test_every_arm_trains_on_the_gpu(arm: str) -> None:
    results = epochs(arm_config(arm), DEVICE)
    assert [result.epoch for result in results] == [1, 2]
    assert not any(result.diverged for result in results)


@pytest.mark.parametrize("arm", sorted(set(regularization().arms)))
def test_a_step_does_not_wait_for_the_gpu(arm: str) -> None:
    trainer = Trainer(arm_config(arm), make_data(arm_config(arm)), DEVICE)
    streams = {method: stream(0, method.name) for method in trainer.methods}
    trainer.run_epoch()  # the first steps set up what the later ones use
    trainer.classifier.train()
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.train_batch([3, 0, 7], streams, 1e-3)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_every_method_is_in_an_arm() -> None:
    in_arms = {knob for method in regularization().arms.values() for knob in method.own}
    assert all(in_arms & set(method.Knobs.model_fields) for method in REGULARIZERS)


@pytest.mark.parametrize("name", MODELS)
def test_clips_lie_on_the_gpu_and_that_changes_nothing(name: str) -> None:
    config = TrialConfig.from_flat(MODELS[name])
    with without("features"):
        trainer = Trainer(config, make_data(config), DEVICE)
    assert isinstance(trainer.data.train, ResidentClips)
    indices = [3, 0, 7]
    with without("features", "resident"):
        other = Trainer(config, make_data(config), DEVICE)
    assert not isinstance(other.data.train, ResidentClips)
    a, b = (each.data.train.batch(indices, DEVICE) for each in (trainer, other))
    assert a.waves.device.type == b.waves.device.type == DEVICE.type
    assert torch.equal(a.waves, b.waves) and torch.equal(a.targets, b.targets)


@pytest.mark.parametrize("name", MODELS)
def test_a_resumed_trial_goes_on_as_it_would_have(name: str, tmp_path: Path) -> None:
    config = TrialConfig.from_flat(MODELS[name] | {"precision": "fp32", "mixup": 0.4, "dropout": 0.0})
    whole = epochs(config, DEVICE)
    list(itertools.islice(train_trial(config, make_data(config), DEVICE, tmp_path / "checkpoint.pt"), 2))
    resumed = epochs(config, DEVICE, tmp_path / "checkpoint.pt")
    assert [result.epoch for result in resumed] == [2, 3]
    # Equal but for the order in which a GPU adds up.
    assert resumed[-1].train_loss == pytest.approx(whole[-1].train_loss, rel=0.02)


def test_a_checkpoint_of_the_gpu_is_read_without_one(tmp_path: Path) -> None:
    config, path = TrialConfig.from_flat(SMALL), tmp_path / "checkpoint.pt"
    results = epochs(config, DEVICE, path)
    trainer = Trainer(config, make_data(config), CPU)
    assert asdict(trainer.load(path)) == asdict(results[-1])
    there = Trainer(config, make_data(config), DEVICE)
    there.load(path)
    clips = make_data(config).val
    assert torch.allclose(trainer.predict(clips), there.predict(clips), atol=0.1)


def test_trials_in_a_row_leave_nothing_behind() -> None:
    config, taken = TrialConfig.from_flat(SMALL | {"epochs": 1}), []
    for _ in range(40):
        epochs(config, DEVICE)
        taken.append(torch.cuda.memory_allocated())
    assert taken[-1] <= taken[4]


def test_a_trial_that_needs_too_much_raises_an_error_of_memory() -> None:
    config = TrialConfig.from_flat(SMALL)
    reserved = torch.cuda.get_device_properties(DEVICE).total_memory
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(2 * reserved, dtype=torch.uint8, device=DEVICE)
    assert not epochs(config, DEVICE)[-1].diverged  # the next one can have the memory


def test_a_steps_memory_is_measured() -> None:
    config = TrialConfig.from_flat(SMALL)
    few, many = (measure(config, 3, clips, 10).peak_bytes for clips in (20, 1_000_000))
    assert few > 0
    assert many - few == pytest.approx(999_980 * 4 * 8_000, rel=0.01)


def test_trials_share_the_gpu() -> None:
    assert clips_a_second(TrialConfig.from_flat(SMALL), 3, count=2, device=DEVICE, threads=1, seconds=0.5) > 0
