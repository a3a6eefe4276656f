"""The moving average of the weights: its closed form, and that it is what a trial evaluates."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from esc50tune import trial
from esc50tune.checkpoint import load_checkpoint
from esc50tune.config import TrialConfig
from esc50tune.data.clips import TrialData
from esc50tune.errors import UserError
from esc50tune.models.convnext import ConvNeXt
from esc50tune.regularizers import REGULARIZERS
from esc50tune.regularizers.ema import EMA
from esc50tune.trial import Trainer, train_trial

CPU = torch.device("cpu")
ALL_OFF = {name: 0.0 for method in REGULARIZERS for name in method.on}


def closed_form(weights: list[Tensor], decay: float) -> Tensor:
    """d^n w_0 + (1 - d) sum_i d^(n - i) w_i, in double precision."""
    n = len(weights) - 1
    shares = [decay**n] + [(1 - decay) * decay ** (n - i) for i in range(1, n + 1)]
    return sum(share * w.double() for share, w in zip(shares, weights, strict=True))


def trainer_of(flat: dict[str, Any], data: TrialData) -> Trainer:
    return Trainer(TrialConfig.from_flat(flat), data, CPU)


@pytest.mark.parametrize("decay", [0.3, 0.9, 0.999])
def test_after_n_steps_the_average_is_its_closed_form(decay):
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    method = EMA(TrialConfig.from_flat(ALL_OFF | {"ema": decay}))
    method.start(model)
    history = [model.weight.detach().clone()]
    for _ in range(50):
        with torch.no_grad():
            model.weight.copy_(torch.randn(3, 4))
        history.append(model.weight.detach().clone())
        method.after_step(model)
    average = method.evaluated(model)
    torch.testing.assert_close(average.weight.double(), closed_form(history, decay), rtol=1e-5, atol=1e-6)
    assert torch.equal(model.weight, history[-1])


@torch.no_grad()
def test_the_average_norms_by_its_own_statistics_of_the_training_batches(small, tones_data):
    knobs = {"convnext_pool": "statistics", "ema": 0.99, "lr": 0.01, "batch_size": 9}
    trainer = trainer_of(small | ALL_OFF | knobs, tones_data)
    for _ in range(2):
        trainer.run_epoch()
        average, clips = trainer.evaluated(), tones_data.train
        pooled = average.model.frames(average.feature(clips.waves(trainer.order())))[..., 0]
        batches = pooled.split(9)  # each as it is normed in training
        norm = average.model.head[0]
        torch.testing.assert_close(norm.running_mean, torch.stack([part.mean(0) for part in batches]).mean(0))
        torch.testing.assert_close(norm.running_var, torch.stack([part.var(0) for part in batches]).mean(0))
        assert not torch.allclose(norm.running_mean, trainer.classifier.model.head[0].running_mean, rtol=0.01)


def test_the_averages_statistics_are_of_the_batches_and_parts_that_were_trained_on(small, tones_data, monkeypatch):
    methods = {"shift": 1.0, "mixup": 1.0, "crop_seconds": 0.2, "time_mask": 0.3, "ema": 0.9}
    knobs = {"convnext_pool": "statistics", "batch_size": 8, "batch_parts": 2}
    trainer, seen = trainer_of(small | ALL_OFF | knobs | methods, tones_data), {True: [], False: []}
    frames = ConvNeXt.frames

    def spy(self: ConvNeXt, x: Tensor) -> Tensor:
        if self.training:
            seen[self is trainer.classifier.model].append(x.clone())
        return frames(self, x)

    monkeypatch.setattr(ConvNeXt, "frames", spy)
    trainer.run_epoch()
    assert len(seen[True]) == 10  # 4 batches of 8 and one of 4, each in halves
    assert all(torch.equal(own, other) for own, other in zip(seen[True], seen[False], strict=True))


def test_without_clips_to_evaluate_the_statistics_are_taken_once_when_the_schedule_is_over(
    small, tones_data, monkeypatch
):
    flat = small | ALL_OFF | {"convnext_pool": "statistics", "ema": 0.9, "epochs": 3}
    blind, taken, refit = trainer_of(flat, replace(tones_data, val=None)), [], trial.refit_norms
    monkeypatch.setattr(trial, "refit_norms", lambda *args: (taken.append(blind.epoch), refit(*args)))
    for _ in range(3):
        blind.run_epoch()
    assert taken == [3]
    every = trainer_of(flat, tones_data)
    for _ in range(3):
        every.run_epoch()
    assert len(taken) == 4
    both = zip(blind.evaluated().state_dict().values(), every.evaluated().state_dict().values(), strict=True)
    assert all(torch.equal(own, other) for own, other in both)


@pytest.mark.parametrize("model", ["hifigan", "convnext"])
def test_a_trial_averages_its_weights_after_every_step_from_the_first_weights_on(model, small, tones_data, monkeypatch):
    trainer = trainer_of(small | ALL_OFF | {"model": model, "ema": 0.8, "lr": 0.01}, tones_data)
    for own, other in zip(trainer.classifier.parameters(), trainer.evaluated().parameters(), strict=True):
        assert torch.equal(own, other)
        assert own.data_ptr() != other.data_ptr()
    history = [[p.detach().clone() for p in trainer.classifier.parameters()]]
    train_batch = Trainer.train_batch

    def spy(self: Trainer, *args: Any) -> dict[str, Tensor]:
        result = train_batch(self, *args)
        history.append([p.detach().clone() for p in self.classifier.parameters()])
        return result

    monkeypatch.setattr(Trainer, "train_batch", spy)
    trainer.run_epoch()
    trainer.run_epoch()
    assert len(history) == 1 + 2 * 5
    for i, average in enumerate(trainer.evaluated().parameters()):
        expected = closed_form([weights[i] for weights in history], 0.8)
        torch.testing.assert_close(average.double(), expected, rtol=1e-4, atol=1e-6)


def test_the_average_is_evaluated_and_the_weights_are_trained(small, tones_data):
    flat = small | ALL_OFF | {"lr": 0.01}
    plain, averaged = trainer_of(flat, tones_data), trainer_of(flat | {"ema": 0.9}, tones_data)
    labels, waves = tones_data.val.labels, tones_data.val.waves(range(len(tones_data.val)))
    for _ in range(2):
        without, result = plain.run_epoch(), averaged.run_epoch()
        assert (result.train_loss, result.train_acc) == (without.train_loss, without.train_acc)
        with torch.no_grad():
            losses = [
                nn.functional.cross_entropy(module.eval()(waves), labels).item()
                for module in (averaged.evaluated(), averaged.classifier)
            ]
        assert result.val_loss == pytest.approx(losses[0], rel=1e-5)
        assert without.val_loss == pytest.approx(losses[1], rel=1e-5)
        assert abs(losses[0] - losses[1]) > 1e-3
    first, second = (trainer.classifier.state_dict() for trainer in (plain, averaged))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not averaged.evaluated().training


def test_the_average_takes_no_gradient_and_no_step(small, tones_data):
    trainer = trainer_of(small | ALL_OFF | {"ema": 0.9}, tones_data)
    assert not any(p.requires_grad for p in trainer.evaluated().parameters())
    assert all(p.requires_grad for p in trainer.classifier.parameters())
    stepped = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert not stepped & {id(p) for p in trainer.evaluated().parameters()}


def test_statistics_of_features_stay_with_the_average(small, tones_data, tmp_path):
    flat = small | ALL_OFF | {"ema": 0.9}
    trainer = trainer_of(flat, tones_data)
    mean, deviation = trainer.classifier.feature.mean.clone(), trainer.classifier.feature.deviation.clone()
    assert mean.abs().min() > 1  # decibels, far from the 0 that buffers start at
    trainer.save(tmp_path / "trial.pt", trainer.run_epoch())
    # A trainer that has fitted its statistics to other clips takes up those of the checkpoint.
    resumed = trainer_of(flat, TrialData(tones_data.val, tones_data.val))
    assert not torch.equal(resumed.evaluated().feature.mean, mean)
    resumed.load(tmp_path / "trial.pt")
    for average in (trainer.evaluated(), resumed.evaluated()):
        assert torch.equal(average.feature.mean, mean)
        assert torch.equal(average.feature.deviation, deviation)


def timeless(config: TrialConfig, data: TrialData, path: Path, epochs: int, known: int = 0) -> list[dict[str, Any]]:
    trial = train_trial(config, data, CPU, path, known=known)
    results = [asdict(result) | {"seconds": 0} for _, result in zip(range(epochs), trial, strict=False)]
    trial.close()
    return results


@pytest.mark.parametrize("model", ["hifigan", "convnext"])
def test_a_trial_goes_on_from_its_checkpoint_as_if_never_stopped(model, small, tones_data, tmp_path):
    config = TrialConfig.from_flat(small | ALL_OFF | {"model": model, "ema": 0.95, "lr": 0.01})
    whole = timeless(config, tones_data, tmp_path / "whole.pt", 3)
    stopped = [timeless(config, tones_data, tmp_path / "stopped.pt", 1, known)[0] for known in range(3)]
    assert stopped == whole
    assert [result["epoch"] for result in whole] == [1, 2, 3]
    first, second = (load_checkpoint(tmp_path / name)["methods"]["ema"] for name in ("whole.pt", "stopped.pt"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_share_outside_0_to_1_is_refused(decay):
    with pytest.raises(UserError, match="ema"):
        TrialConfig.from_flat({"ema": decay})
