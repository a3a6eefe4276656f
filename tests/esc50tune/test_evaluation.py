"""Evaluation: plain means over clips, and probabilities averaged over the views of each."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from esc50tune.config import TrialConfig
from esc50tune.data.batch import Batch
from esc50tune.data.clips import ClipsInMemory
from esc50tune.evaluation import average_views, evaluate
from esc50tune.regularizers import Regularizer
from esc50tune.regularizers.base import Auxiliary

CPU = torch.device("cpu")
SIZE = 64  # clips, or views, at once


class Reader(nn.Module):
    """Reads its logits from the wave itself; remembers how it was called. Its own model."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.calls: list[tuple[bool, bool, bool, int]] = []

    @property
    def model(self) -> Reader:
        return self

    def inputs(self, batch: Batch) -> Tensor:
        return batch.waves

    def frames(self, waves: Tensor) -> Tensor:
        autocast = torch.is_autocast_enabled("cpu")
        self.calls.append((self.training, torch.is_grad_enabled(), autocast, len(waves)))
        return waves[:, 0, :4]

    def classify(self, frames: Tensor) -> Tensor:
        logits = self.scale * frames
        return logits.bfloat16() if torch.is_autocast_enabled("cpu") else logits


class Twice(Regularizer):
    """Two views of each clip: itself, and itself turned by one sample and quieter."""

    views = 2

    def on_eval(self, batch: Batch) -> Batch:
        views = torch.stack([batch.waves, 0.5 * batch.waves.roll(1, -1)], dim=1).flatten(0, 1)
        return Batch.of(views, batch.targets.repeat_interleave(2, 0))


class Louder(Regularizer):
    """The clip at twice its level, and one more."""

    def on_eval(self, batch: Batch) -> Batch:
        return replace(batch, waves=2.0 * batch.waves + torch.arange(4.0))


class Loudness(Regularizer):
    """A task beside the classification: its figure is each view's largest sample, taken from the model's frames."""

    def auxiliary(self, model: Reader, frames: Tensor, batch: Batch) -> Auxiliary:
        assert torch.equal(frames, batch.waves[:, 0])
        return Auxiliary(model.scale, {"loudness": frames.amax(1)})


def scores(reader: Reader, clips: ClipsInMemory, *others: Any) -> tuple[float, float]:
    """Return loss and accuracy."""
    figures = evaluate(reader, clips, CPU, SIZE, *others)
    return figures["loss"], figures["acc"]


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits)
    return powers / powers.sum(-1, keepdims=True)


@pytest.fixture
def clips() -> ClipsInMemory:
    """Clips in a number that fills no batch: 64 and 13."""
    generator = torch.Generator().manual_seed(0)
    waves = 3.0 * torch.randn(77, 1, 4, generator=generator)
    waves[70:] *= 5.0  # so that a mean over batches would differ from the mean over clips
    return ClipsInMemory(waves, torch.randint(4, (77,), generator=generator), 4)


def test_each_clip_weighs_the_same(clips):
    loss, accuracy = scores(Reader(), clips)
    logits, labels = clips.held[:, 0].double().numpy(), clips.labels.numpy()
    losses = -np.log(softmax(logits)[range(77), labels])
    assert loss == pytest.approx(losses.mean(), rel=1e-5)
    assert accuracy == pytest.approx((logits.argmax(1) == labels).mean())
    assert abs((losses[:64].mean() + losses[64:].mean()) / 2 - losses.mean()) > 0.1


def test_views_are_averaged_as_probabilities(clips):
    method = Twice(TrialConfig())
    loss, accuracy = scores(Reader(), clips, [method])
    logits, labels = clips.held[:, 0].double().numpy(), clips.labels.numpy()
    mean = (softmax(logits) + softmax(0.5 * np.roll(logits, 1, 1))) / 2
    assert loss == pytest.approx(-np.log(mean[range(77), labels]).mean(), rel=1e-5)
    assert accuracy == pytest.approx((mean.argmax(1) == labels).mean())


def test_methods_act_in_their_order(clips):
    twice, louder, labels = Twice(TrialConfig()), Louder(TrialConfig()), clips.labels.numpy()
    logits = clips.held[:, 0].double().numpy()
    up = np.arange(4.0)
    views = {
        (twice, louder): (2 * logits + up, np.roll(logits, 1, 1) + up),
        (louder, twice): (2 * logits + up, 0.5 * np.roll(2 * logits + up, 1, 1)),
    }
    for methods, (first, second) in views.items():
        mean = (softmax(first) + softmax(second)) / 2
        loss, _ = scores(Reader(), clips, methods)
        assert loss == pytest.approx(-np.log(mean[range(77), labels]).mean(), rel=1e-4)


def test_the_classifier_is_in_evaluation_and_nothing_takes_a_gradient(clips):
    reader = Reader().train()
    evaluate(reader, clips, CPU, SIZE, [Twice(TrialConfig())])
    assert [call[:3] for call in reader.calls] == 3 * [(False, False, False)]
    assert reader.scale.grad is None
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("size", "methods", "passes"),
    [
        (64, 0, [64, 13]),
        (16, 0, [16, 16, 16, 16, 13]),
        (64, 1, [64, 64, 26]),
        (64, 2, [64, 64, 64, 64, 52]),
        (3, 2, 77 * [4]),
    ],
)
def test_no_more_views_are_computed_at_once_than_asked_for_but_those_of_one_clip(size, methods, passes, clips):
    reader = Reader()
    evaluate(reader, clips, CPU, size, methods * [Twice(TrialConfig())])
    assert [call[3] for call in reader.calls] == passes


@pytest.mark.parametrize("methods", [[], [Twice(TrialConfig())]], ids=["one view", "two views"])
def test_the_model_alone_runs_in_half_precision(methods, clips):
    reader = Reader()
    halved = scores(reader, clips, methods, lambda: torch.autocast("cpu", torch.bfloat16))
    assert all(autocast for _, _, autocast, _ in reader.calls)
    rounded = replace(clips, held=clips.held.bfloat16().float())
    assert halved == scores(Reader(), rounded, methods, contextlib.nullcontext)


def test_figures_of_other_tasks_are_means_over_all_clips_and_their_views(clips):
    figures = evaluate(Reader(), clips, CPU, SIZE, [Loudness(TrialConfig())])
    assert set(figures) == {"loss", "acc", "loudness"}
    loudest = clips.held[:, 0].amax(1)
    assert figures["loudness"] == pytest.approx(loudest.mean().item(), rel=1e-5)
    assert abs((loudest[:64].mean() + loudest[64:].mean()).item() / 2 - figures["loudness"]) > 0.1
    assert (figures["loss"], figures["acc"]) == scores(Reader(), clips)  # the task's own loss is no part of it
    viewed = evaluate(Reader(), clips, CPU, SIZE, [Twice(TrialConfig()), Loudness(TrialConfig())])
    assert viewed["loudness"] == pytest.approx(0.75 * loudest.mean().item(), rel=1e-5)


# Averages of views


@pytest.mark.parametrize(("size", "views"), [(1, 2), (5, 3), (8, 10)])
def test_the_average_is_the_mean_of_the_softmaxes(size, views):
    torch.manual_seed(0)
    logits = 4.0 * torch.randn(size * views, 6)
    expected = softmax(logits.double().numpy()).reshape(size, views, 6).mean(1)
    result = average_views(logits, size)
    np.testing.assert_allclose(result.numpy(), np.log(expected), rtol=1e-4, atol=1e-5)


def test_probabilities_are_averaged_and_not_logits():
    # Two views lean towards the first class with 0.731, one towards the second with 0.953.
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.5, 1.5]])
    expected = (2 / (1 + math.exp(-1)) + 1 / (1 + math.exp(3))) / 3
    assert average_views(logits, 1).exp()[0].tolist() == pytest.approx([expected, 1 - expected])
    assert expected > 0.5
    assert logits.mean(0).argmax() == 1  # averaged logits would choose the second


def test_one_view_is_left_as_it_is():
    logits = torch.randn(7, 5)
    assert torch.equal(average_views(logits, 7), logits)


@pytest.mark.parametrize(("views", "expected"), [(1, 300 + math.log(2)), (2, 150 + 2 * math.log(2))])
def test_a_classifier_that_is_sure_and_wrong_has_a_finite_loss(views, expected):
    # Of the true class its views give exp(-300) / 2 and exp(-150) / 2: in single precision both are 0.
    waves = torch.zeros(3, 1, 4)
    waves[:, :, 1:3] = 300.0
    clips = ClipsInMemory(waves, torch.tensor([0, 0, 0]), 4)
    loss, accuracy = scores(Reader(), clips, [Twice(TrialConfig())] if views == 2 else [])
    assert loss == pytest.approx(expected)
    assert accuracy == 0.0
