"""The loop of a trial: repeatable, resumable, exact in what it reports."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from esc50tune.checkpoint import load_checkpoint
from esc50tune.config import TrialConfig
from esc50tune.data.batch import Batch
from esc50tune.data.clips import ClipsInMemory, TrialData
from esc50tune.speedups import without
from esc50tune.trial import EpochResult, Trainer, learning_rate, train_trial
from tests.conftest import all_on, watch

F = torch.nn.functional

CPU = torch.device("cpu")
MODELS = ["hifigan", "convnext"]


class Clips(ClipsInMemory):
    """Clips of three classes that remember which were asked for."""

    def __init__(self, waves: Tensor, labels: Tensor) -> None:
        super().__init__(waves, labels, 3)
        self.asked: list[list[int]] = []

    def waves(self, indices: Sequence[int]) -> Tensor:
        self.asked.append(list(indices))
        return super().waves(indices)


def noise(size: int, seed: int) -> Clips:
    generator = torch.Generator().manual_seed(seed)
    return Clips(torch.randn(size, 1, 2_000, generator=generator) * 0.3, torch.randint(3, (size,), generator=generator))


@pytest.fixture
def noise_data() -> TrialData:
    """Clips in numbers that fill no batch: 21 of 8, and 70 of evaluation's."""
    return TrialData(noise(21, 1), noise(70, 2))


def timeless(results: Sequence[EpochResult]) -> list[dict[str, Any]]:
    return [asdict(result) | {"seconds": None} for result in results]


def run(flat: dict[str, Any], data: TrialData, checkpoint: Path | None = None) -> list[dict[str, Any]]:
    return timeless(list(train_trial(TrialConfig.from_flat(flat), data, CPU, checkpoint)))


def same(first: Any, second: Any) -> bool:
    """Tell whether two nests of dicts, lists and tensors are equal bit for bit."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    return torch.equal(first, second) if isinstance(first, Tensor) else first == second


# Repeating and resuming


@pytest.mark.parametrize("model", MODELS)
def test_the_same_seed_gives_the_same_trial_whatever_else_draws_numbers(model, small, tones_data):
    flat = small | all_on() | {"model": model, "epochs": 2}
    expected = run(flat, tones_data)
    again = []
    torch.manual_seed(99)
    for result in train_trial(TrialConfig.from_flat(flat), tones_data, CPU):
        again.append(result)
        torch.rand(3)
    assert timeless(again) == expected
    assert [result.epoch for result in again] == [1, 2]
    assert all(result.seconds > 0 for result in again)


def test_another_seed_gives_another_trial(small, tones_data):
    first, second = (run(small | {"epochs": 1, "seed": seed}, tones_data)[0] for seed in (0, 1))
    assert first["train_loss"] != second["train_loss"]
    assert first["val_loss"] != second["val_loss"]


@pytest.mark.parametrize(
    "knobs",
    [
        {"model": "hifigan"},
        {"model": "convnext", "convnext_form": "seed"},
        {"model": "convnext"},
        {"model": "convnext", "convnext_pool": "statistics"},
    ],
)
def test_a_trial_stopped_after_each_epoch_ends_as_an_uninterrupted_one(knobs, small, tones_data, tmp_path):
    flat = small | all_on() | knobs | {"warmup_epochs": 1.5, "clip_grad": 1.0}
    expected = run(flat, tones_data, tmp_path / "whole.pt")
    stopped = []
    for known in range(3):
        trial = train_trial(TrialConfig.from_flat(flat), tones_data, CPU, tmp_path / "stopped.pt", known=known)
        stopped.append(next(trial))
        trial.close()
    assert timeless(stopped) == expected
    whole, resumed = load_checkpoint(tmp_path / "whole.pt"), load_checkpoint(tmp_path / "stopped.pt")
    for part in ("config", "classifier", "optimizer"):
        assert same(whole[part], resumed[part])
    assert run(flat, tones_data, tmp_path / "stopped.pt") == expected[-1:]  # nothing left but to tell it again


# 0 kept: the checkpoint was lost; one more than known: the process was killed before it could tell of the epoch
@pytest.mark.parametrize(("known", "kept"), [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (2, 3)])
def test_a_resumed_trial_tells_the_epochs_that_are_not_known_whatever_its_checkpoint_has(
    known, kept, small, tones_data, tmp_path
):
    config, path = TrialConfig.from_flat(small | {"epochs": 3}), tmp_path / "trial.pt"
    expected = timeless(list(train_trial(config, tones_data, CPU)))
    before = train_trial(config, tones_data, CPU, path)
    for _ in range(kept):
        next(before)
    before.close()
    assert timeless(list(train_trial(config, tones_data, CPU, path, known=known))) == expected[known:]


@pytest.mark.parametrize(
    "knobs", [{}, {"sam_rho": 0.05, "clip_grad": 0.5, "mixup": 0.4, "ema": 0.9}], ids=["plain", "all"]
)
def test_a_batch_computed_in_parts_takes_the_same_step(knobs, small, noise_data):
    trainers = [Trainer(TrialConfig.from_flat(small | knobs | {"batch_parts": n}), noise_data, CPU) for n in (1, 2, 3)]
    whole, halves, thirds = (trainer.run_epoch() for trainer in trainers)  # the last batch has 5 clips
    for parts in (halves, thirds):
        assert (parts.train_loss, parts.val_loss) == pytest.approx((whole.train_loss, whole.val_loss), rel=1e-4)
        assert parts.train_acc == whole.train_acc
    for trainer in trainers[1:]:
        for name, value in trainer.classifier.state_dict().items():
            torch.testing.assert_close(value, trainers[0].classifier.state_dict()[name], rtol=1e-3, atol=1e-5)


def test_a_checkpoint_lies_there_before_its_result_is_told(small, tones_data, tmp_path):
    path = tmp_path / "deep" / "trial.pt"
    for result in train_trial(TrialConfig.from_flat(small), tones_data, CPU, path):
        assert load_checkpoint(path)["result"] == asdict(result)
    assert load_checkpoint(path)["config"] == TrialConfig.from_flat(small).to_flat()
    assert [file.name for file in path.parent.iterdir()] == ["trial.pt"]


def test_every_clip_is_trained_on_once_an_epoch_in_a_new_order(small, noise_data):
    trainer = Trainer(TrialConfig.from_flat(small | {"feature": "raw"}), noise_data, CPU)
    epochs = []
    for _ in range(2):
        noise_data.train.asked.clear()
        trainer.run_epoch()
        assert [len(batch) for batch in noise_data.train.asked] == [8, 8, 5]
        epochs.append(list(itertools.chain(*noise_data.train.asked)))
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(21))
    assert epochs[0] != epochs[1]


def test_layers_of_training_act_in_training_alone_in_every_epoch(small, noise_data):
    trainer, modes = Trainer(TrialConfig.from_flat(small), noise_data, CPU), []
    model = trainer.classifier.model
    watch(model, lambda x: modes.append(model.training))
    for _ in range(2):
        trainer.run_epoch()
    assert modes == 2 * [*3 * [True], *9 * [False]]  # 21 clips, and 70, in batches of 8


def test_statistics_of_features_come_from_the_training_clips_alone(small, noise_data):
    with without("features"):
        trainer = Trainer(TrialConfig.from_flat(small), noise_data, CPU)
    assert noise_data.val.asked == []
    values = trainer.classifier.feature(noise_data.train.waves(range(21)))
    torch.testing.assert_close(values.mean((0, 2)), torch.zeros(16), rtol=0, atol=1e-4)


# Learning rate


@pytest.mark.parametrize(
    ("knobs", "steps", "expected"),
    [
        ({"schedule": "constant"}, 1, [1, 1, 1, 1]),
        ({"schedule": "cosine"}, 1, [1, 0.8535534, 0.5, 0.1464466]),
        ({"schedule": "cosine", "epochs": 2}, 2, [1, 0.8535534, 0.5, 0.1464466]),
        ({"schedule": "constant", "warmup_epochs": 2}, 2, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
        ({"schedule": "cosine", "warmup_epochs": 2}, 2, [0.25, 0.5, 0.75, 1, 1, 0.8535534, 0.5, 0.1464466]),
        # Half an epoch of three steps is a step and a half: the second step is past its end.
        ({"schedule": "constant", "warmup_epochs": 0.5, "epochs": 1}, 3, [2 / 3, 1, 1]),
        # From there 1.5 steps are left, of which 0.5 are gone at the third step: cos^2(pi / 6).
        ({"schedule": "cosine", "warmup_epochs": 0.5, "epochs": 1}, 3, [2 / 3, 1, 0.75]),
    ],
)
def test_the_learning_rate_follows_its_schedule(knobs, steps, expected):
    config = TrialConfig.from_flat({"lr": 0.5, "epochs": 4} | knobs)
    rates = [learning_rate(config, step, steps) for step in range(config.epochs * steps)]
    assert rates == pytest.approx([0.5 * value for value in expected])


@pytest.mark.parametrize(
    ("epochs", "warmup", "steps"), [(1, 0.0, 1), (1, 0.9, 2), (3, 2.9, 5), (100, 20.0, 75), (300, 0.01, 7)]
)
def test_the_learning_rate_rises_to_its_highest_and_falls_but_never_to_0(epochs, warmup, steps):
    config = TrialConfig(lr=1e-3, epochs=epochs, warmup_epochs=warmup)
    rates = [learning_rate(config, step, steps) for step in range(epochs * steps)]
    top = rates.index(max(rates))
    assert all(first < second for first, second in itertools.pairwise(rates[: top + 1]))
    assert all(first >= second > 0 for first, second in itertools.pairwise(rates[top:]))
    assert max(rates) <= 1e-3


def test_the_optimizer_steps_at_the_scheduled_rate(small, noise_data):
    config = TrialConfig.from_flat(small | {"warmup_epochs": 1.5, "weight_decay": 0.1})
    trainer, used = Trainer(config, noise_data, CPU), []
    trainer.optimizer.register_step_pre_hook(
        lambda optimizer, *_: used.append({group["lr"] for group in optimizer.param_groups})
    )
    told = [trainer.run_epoch().lr for _ in range(3)]
    assert used == [{learning_rate(config, step, 3)} for step in range(9)]
    assert [{lr} for lr in told] == used[2::3]


# Gradient


@pytest.mark.parametrize("model", MODELS)
def test_clipping_shortens_the_gradient_and_keeps_its_direction(model, small, noise_data):
    gradients = {}
    for limit in (0.0, 1e6, 0.01):
        trainer = Trainer(TrialConfig.from_flat(small | {"model": model, "clip_grad": limit}), noise_data, CPU)
        trainer.classifier.train()
        trainer.train_batch([0, 1, 2], {}, lr=1e-3)
        gradients[limit] = torch.cat([p.grad.flatten() for p in trainer.classifier.parameters()])
    free = gradients[0.0]
    assert free.norm() > 0.05
    assert torch.equal(gradients[1e6], free)
    torch.testing.assert_close(gradients[0.01], free * 0.01 / free.norm(), rtol=1e-3, atol=1e-8)


def test_a_step_starts_from_no_gradient(small, noise_data):
    trainer = Trainer(TrialConfig.from_flat(small), noise_data, CPU)
    for parameter in trainer.classifier.parameters():
        parameter.grad = torch.full_like(parameter, 1e3)
    trainer.train_batch([0, 1], {}, lr=1e-3)
    assert all(parameter.grad.abs().max() < 1e2 for parameter in trainer.classifier.parameters())


# What is reported


@pytest.mark.parametrize("knobs", [{}, all_on()], ids=["plain", "regularized"])
@torch.no_grad()
def test_validation_is_the_plain_mean_over_clips(knobs, small, noise_data):
    flat = small | knobs | {"convnext_form": "seed", "lr": 0.01, "ema": 0.0, "crop_seconds": 0.0}
    trainer = Trainer(TrialConfig.from_flat(flat), noise_data, CPU)
    with torch.enable_grad():
        result = trainer.run_epoch()
    labels = noise_data.val.labels
    logits = trainer.classifier.eval()(noise_data.val.waves(range(70)))
    losses = logits.logsumexp(1) - logits[range(70), labels]
    assert result.val_loss == pytest.approx(losses.mean().item(), rel=1e-5)
    assert result.val_acc == pytest.approx((logits.argmax(1) == labels).sum().item() / 70)
    # The means of the batches of 64 and 6 must differ for this to show anything.
    assert abs((losses[:64].mean() + losses[64:].mean()).item() / 2 - result.val_loss) > 1e-4


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_training_loss_is_the_mean_over_clips_as_trained_on(share, small, noise_data):
    flat = small | {"convnext_form": "seed", "lr": 1e-12, "label_smoothing": share}  # weights as good as still
    trainer = Trainer(TrialConfig.from_flat(flat), noise_data, CPU)
    result = trainer.run_epoch()
    with torch.no_grad():
        logits = trainer.classifier(noise_data.train.waves(range(21)))
    labels = noise_data.train.labels
    expected = F.cross_entropy(logits, labels, label_smoothing=share).item()
    assert result.train_loss == pytest.approx(expected, rel=1e-5)
    assert result.train_acc == pytest.approx((logits.argmax(1) == labels).float().mean().item())


class Reader(nn.Module):
    """Reads the logits from the wave itself: whatever class is loudest in it. Its own model."""

    def __init__(self) -> None:
        super().__init__()
        self.sign = nn.Parameter(torch.ones(()))
        self.feature = nn.Identity()

    @property
    def model(self) -> Reader:
        return self

    def inputs(self, batch: Batch) -> Tensor:
        return batch.waves

    def frames(self, waves: Tensor) -> Tensor:
        return waves[:, 0, :3]

    def classify(self, frames: Tensor) -> Tensor:
        return self.sign * frames


@pytest.mark.parametrize(("sign", "accuracy"), [(1.0, 1.0), (-1.0, 0.0)])
def test_of_a_mixed_clip_the_heavier_part_counts(sign, accuracy, small):
    labels = torch.arange(24) % 3
    clips = Clips(F.pad(F.one_hot(labels, 3).float(), (0, 1_997))[:, None], labels)
    flat = small | {"feature": "raw", "batch_size": 24, "mixup": 1.0, "label_smoothing": 0.3}
    trainer = Trainer(TrialConfig.from_flat(flat), TrialData(clips, clips), CPU)
    trainer.classifier = Reader()
    nn.init.constant_(trainer.classifier.sign, sign)
    assert trainer.run_epoch().train_acc == accuracy


# Divergence


def check_diverged(result: EpochResult) -> None:
    assert result.diverged
    assert result.val_acc == 0.0
    assert result.train_loss is None
    assert result.val_loss is None
    assert json.loads(json.dumps(asdict(result), allow_nan=False)) == asdict(result)


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_ends_the_trial_and_leaves_the_last_good_checkpoint(
    value, small, noise_data, tmp_path, monkeypatch
):
    train = Trainer.train

    def spoilt(self: Trainer) -> tuple[dict[str, float], float]:
        if self.epoch == 2:
            nn.init.constant_(next(self.classifier.model.parameters()), value)
        return train(self)

    monkeypatch.setattr(Trainer, "train", spoilt)
    results = list(train_trial(TrialConfig.from_flat(small), noise_data, CPU, tmp_path / "trial.pt"))
    assert [result.diverged for result in results] == [False, True]
    check_diverged(results[1])
    assert load_checkpoint(tmp_path / "trial.pt")["result"] == asdict(results[0])


def test_a_training_loss_that_is_not_finite_counts_even_where_validation_is_fine(small, noise_data, monkeypatch):
    monkeypatch.setattr(Trainer, "train", lambda self: ({"loss": math.inf, "acc": 0.5}, 1e-3))
    check_diverged(Trainer(TrialConfig.from_flat(small), noise_data, CPU).run_epoch())


@pytest.mark.parametrize("spoilt", ["train", "val"])
def test_either_loss_can_tell_that_a_trial_diverged(spoilt, small, noise_data, tmp_path):
    flat = small | {"feature": "raw", "batch_size": 21}
    trial = train_trial(TrialConfig.from_flat(flat), noise_data, CPU, tmp_path / "trial.pt")
    getattr(noise_data, spoilt).held[20, 0, 100:110] = math.nan
    (result,) = trial
    check_diverged(result)
    assert not (tmp_path / "trial.pt").exists()


# Precision and learning


@pytest.mark.parametrize("model", MODELS)
def test_bfloat16_trains_close_to_single_precision(model, small, tones_data):
    flat = small | {"model": model, "epochs": 1}
    single, auto, half = (run(flat | {"precision": name}, tones_data)[0] for name in ("fp32", "auto", "bf16"))
    assert auto == single  # on a CPU
    assert half["train_loss"] != single["train_loss"]
    assert half["train_loss"] == pytest.approx(single["train_loss"], rel=0.02)
    assert half["val_loss"] == pytest.approx(single["val_loss"], rel=0.02)


@pytest.mark.parametrize(
    ("model", "feature"),
    [("hifigan", "logmel"), ("convnext", "logmel"), ("convnext", "encodec"), ("causal", "encodec")],
)
def test_bfloat16_goes_with_every_regularizer_at_once(model, feature, small, noise_data, latents):
    rate = {"sample_rate": 24_000} if feature == "encodec" else {}
    off = {} if model == "causal" else {"code_lm": 0.0}
    flat = small | all_on(feature) | rate | off | {"model": model, "feature": feature, "precision": "bf16"}
    (result,) = run(flat | {"epochs": 1}, latents if feature == "encodec" else noise_data)
    assert not result["diverged"]
    assert 0.0 < result["train_loss"] < 5.0
    assert result["val_loss"] > 0.0


def pure_tones(size: int, seed: int) -> Clips:
    """Tones with hardly any noise: on raw audio a handful of epochs cannot do more."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(size) % 3
    hertz = torch.tensor([300.0, 900.0, 2_500.0])[labels] * (0.9 + 0.2 * torch.rand(size, generator=generator))
    turns = hertz[:, None] * torch.arange(2_000) / 8_000 + torch.rand(size, 1, generator=generator)
    waves = 0.8 * torch.sin(2 * torch.pi * turns) + 0.05 * torch.randn(size, 2_000, generator=generator)
    return Clips(waves[:, None], labels)


@pytest.mark.parametrize("feature", ["raw", "logmel"])
@pytest.mark.parametrize(
    "knobs",
    [
        {"model": "hifigan", "lr": 5e-3},
        {"model": "convnext", "convnext_form": "seed", "lr": 3e-3},
        {"model": "convnext", "convnext_form": "published", "lr": 2e-3},
    ],
    ids=["hifigan", "seed", "published"],
)
def test_a_small_model_learns_the_tones(knobs, feature, small, tones_data):
    strides = {"convnext_stem_kernel": 8, "convnext_stem_stride": 8, "convnext_downsample": 4}
    raw = feature == "raw"
    data = TrialData(pure_tones(36, 0), pure_tones(30, 1)) if raw else tones_data
    flat = small | {"epochs": 25, "batch_size": 4, "feature": feature} | knobs | (strides if raw else {})
    results = run(flat, data)
    assert [result["epoch"] for result in results] == list(range(1, 26))
    assert results[-1]["train_loss"] < 0.5 * results[0]["train_loss"]
    assert results[-1]["train_acc"] > 0.6
    assert results[-1]["val_acc"] > 0.6  # chance is a third
