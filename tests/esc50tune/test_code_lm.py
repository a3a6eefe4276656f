"""The language model of codes: its loss worked by hand, which code a frame predicts, mixtures, and whole trials."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from esc50tune.checkpoint import load_checkpoint
from esc50tune.config import TrialConfig
from esc50tune.data.batch import Batch
from esc50tune.data.clips import ClipsInMemory, TrialData
from esc50tune.evaluation import evaluate
from esc50tune.models.causal import CausalConvNeXt
from esc50tune.regularizers import REGULARIZERS, active
from esc50tune.regularizers.base import Auxiliary
from esc50tune.regularizers.code_lm import CodeLM
from esc50tune.trial import EpochResult, Trainer, train_trial
from tests.conftest import CAUSAL, all_on, watch

CPU = torch.device("cpu")
FIGURES = {"train_loss_codes", "train_acc_codes", "val_loss_codes", "val_acc_codes"}
ALL_OFF = {name: 0.0 for method in REGULARIZERS for name in method.on}


def config_of(**knobs: Any) -> TrialConfig:
    return TrialConfig.from_flat(CAUSAL | ALL_OFF | {"code_lm": 1.0} | knobs)


def task(logits: Tensor, batch: Batch, **knobs: float) -> Auxiliary:
    """Return the task where the model's logits of codes are `logits` [B, T, N, V]."""
    model = SimpleNamespace(training=True, code_logits=lambda frames: frames)
    return CodeLM(config_of(**knobs)).auxiliary(model, logits, batch)


def batch_of(codes: Tensor) -> Batch:
    return Batch.of(torch.zeros(len(codes), 1, codes.shape[2]), torch.ones(len(codes), 1), codes)


# The loss

# For each of two codebooks the probabilities of three codes in three frames; then the codes, and their losses.
PROBABILITIES = [
    [[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.25, 0.5, 0.25]],
    [[0.2, 0.2, 0.6], [0.25, 0.5, 0.25], [0.8, 0.1, 0.1]],
]
LOGITS = torch.tensor(PROBABILITIES).log().transpose(0, 1)[None]  # [1, T, N, V]
CODES = torch.tensor([[[0, 2, 1], [1, 1, 2]]])
OWN = (0.693147 + 0.223144 + 0.693147) / 3 + (1.609438 + 0.693147 + 2.302585) / 3


def test_the_loss_is_the_sum_over_codebooks_of_the_means_over_frames():
    told = task(LOGITS, batch_of(CODES))
    assert told.loss.item() == pytest.approx(OWN, abs=1e-5)
    assert told.figures["loss_codes"].tolist() == pytest.approx([OWN], abs=1e-5)
    assert told.figures["acc_codes"].tolist() == pytest.approx([4 / 6])  # the first book's, and the second's second


def test_smoothing_spreads_a_share_over_all_codes():
    # A frame's loss is .7 of its own code's and .1 of each of the three codes'.
    flat, steep, middling = 0.693147 + 2 * 1.386294, 2 * 2.302585 + 0.223144, 2 * 1.609438 + 0.510826
    every = (flat + steep + flat) / 3 + (middling + flat + steep) / 3
    told = task(LOGITS, batch_of(CODES), code_smoothing=0.3)
    assert told.loss.item() == pytest.approx(0.7 * OWN + 0.1 * every, abs=1e-5)


@pytest.mark.parametrize("weight", [0.03, 1.0, 2.5])
def test_the_weight_is_on_the_loss_and_not_on_the_figures(weight):
    plain, told = (task(LOGITS, batch_of(CODES), code_lm=w) for w in (1.0, weight))
    assert told.loss.item() == pytest.approx(weight * plain.loss.item())
    assert told.figures == plain.figures
    assert not told.figures["loss_codes"].requires_grad


def test_clips_weigh_the_same():
    torch.manual_seed(0)
    logits, codes = torch.randn(4, 5, 2, 7), torch.randint(7, (4, 2, 5))
    told = task(logits, batch_of(codes))
    alone = [task(logits[i : i + 1], batch_of(codes[i : i + 1])) for i in range(4)]
    torch.testing.assert_close(told.figures["loss_codes"], torch.stack([one.loss for one in alone]))
    assert told.loss.item() == pytest.approx(sum(one.loss.item() for one in alone) / 4)
    assert told.figures["acc_codes"].tolist() == [one.figures["acc_codes"].item() for one in alone]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_mixtures_loss_is_that_of_its_parts_by_their_shares(smoothing):
    torch.manual_seed(0)
    logits, codes = torch.randn(3, 5, 2, 7), torch.randint(7, (3, 2, 5))
    share, other = torch.tensor([0.5, 0.7, 1.0]), torch.tensor([1, 2, 0])
    batch = batch_of(codes)
    mixed = task(logits, batch.mixed(batch.waves, batch.targets, other, share), code_smoothing=smoothing)
    own, others = (
        task(logits, batch_of(c), code_smoothing=smoothing).figures["loss_codes"] for c in (codes, codes[other])
    )
    torch.testing.assert_close(mixed.figures["loss_codes"], share * own + (1 - share) * others)
    assert mixed.loss.item() == pytest.approx((share * own + (1 - share) * others).mean().item())
    heavier = task(logits, batch_of(codes)).figures["acc_codes"]
    assert torch.equal(mixed.figures["acc_codes"], heavier)


# Which code a frame predicts


@torch.no_grad()
def reader(clips: ClipsInMemory) -> Trainer:
    """A trial whose model says of each book the code that the frame before it shows, in 64 of its channels."""
    trainer = Trainer(config_of(), TrialData(clips, clips), CPU)
    model = trainer.classifier.model
    for name, parameter in model.named_parameters():
        parameter.zero_()
        if name == "code_head.weight":
            for book in range(2):
                for code in range(64):
                    parameter[1024 * book + code, 64 * book + code] = 1.0
    return trainer


def shown(codes: Tensor) -> Tensor:
    """Latents [B, 128, T] that show codes below 64 of two codebooks."""
    return torch.cat([F.one_hot(codes[:, book], 64) for book in range(2)], dim=2).mT.float()


@pytest.fixture
def some_codes() -> Tensor:
    """Codes of five clips; the first frame's are 0, which is what is said where nothing was seen."""
    codes = torch.randint(64, (5, 2, 19), generator=torch.Generator().manual_seed(0))
    codes[:, :, 0] = 0
    return codes


def test_a_model_that_knows_the_next_code_is_always_right(some_codes):
    following = some_codes.roll(-1, 2)
    clips = ClipsInMemory(shown(following), torch.zeros(5, dtype=torch.long), 3, some_codes)
    trainer = reader(clips)
    assert evaluate(trainer.classifier, clips, CPU, 16, trainer.methods)["acc_codes"] == 1.0
    assert trainer.train_batch([0, 1, 2], dict.fromkeys(trainer.methods), 0.0)["acc_codes"].tolist() == [1, 1, 1]


def test_a_model_that_sees_each_codes_own_frame_is_no_wiser(some_codes):
    clips = ClipsInMemory(shown(some_codes), torch.zeros(5, dtype=torch.long), 3, some_codes)
    trainer = reader(clips)
    repeated = sum(
        int(some_codes[b, n, t] == (some_codes[b, n, t - 1] if t else 0))
        for b in range(5)
        for n in range(2)
        for t in range(19)
    )
    told = evaluate(trainer.classifier, clips, CPU, 16, trainer.methods)["acc_codes"]
    assert told == pytest.approx(repeated / (5 * 2 * 19))
    assert told < 0.2


# Inside a trial


def gradients(trainer: Trainer) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in trainer.classifier.model.named_parameters()}


def step(latents: TrialData, **knobs: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return what a trial's first step tells, and the gradients that it takes."""
    trainer = Trainer(config_of(**knobs), latents, CPU)
    told = trainer.train_batch(list(range(8)), dict.fromkeys(trainer.methods), 1e-3)
    return told, gradients(trainer)


def test_the_weight_scales_the_gradient_of_the_code_head_and_adds_to_the_trunks(latents):
    (told, one), (told_more, more) = (step(latents, code_lm=weight) for weight in (1.0, 2.5))
    trainer = Trainer(config_of(code_lm=0.0), latents, CPU)
    trainer.train_batch(list(range(8)), {}, 1e-3)
    plain = gradients(trainer)
    for name, gradient in one.items():
        assert gradient.any()
        without = plain.get(name, torch.zeros(()))
        expected = without + 2.5 * (gradient - without)
        torch.testing.assert_close(more[name], expected, rtol=1e-3, atol=1e-5 * expected.abs().max().item())
    assert set(one) - set(plain) == {"code_head.weight", "code_head.bias"}
    assert torch.equal(one["head.weight"], plain["head.weight"])
    assert not torch.equal(one["trunk.1.branch.1.weight"], plain["trunk.1.branch.1.weight"])
    for name in ("loss", "acc", "loss_codes", "acc_codes"):
        assert torch.equal(told[name], told_more[name])


@pytest.mark.parametrize("adaptive", [False, True], ids=["sam", "asam"])
def test_both_passes_of_sam_are_on_the_whole_loss(adaptive, latents):
    knobs = {"code_lm": 0.5, "code_smoothing": 0.1, "sam_rho": 0.05, "sam_adaptive": adaptive}
    trainer, weights, indices = Trainer(config_of(**knobs), latents, CPU), [], list(range(8))
    parameters = list(trainer.classifier.parameters())
    watch(trainer.classifier.model, lambda x: weights.append([p.detach().clone() for p in parameters]))
    trainer.train_batch(indices, dict.fromkeys(trainer.methods), 1e-3)
    here, there = weights
    first, second = (whole_gradient(latents, at, indices) for at in weights)
    sizes = [w.abs() if adaptive else torch.ones_like(w) for w in here]
    norm = sum((size * g).square().sum() for size, g in zip(sizes, first, strict=True)).sqrt()
    for w, climbed, size, g in zip(here, there, sizes, first, strict=True):
        expected = 0.05 * size.square() * g / norm
        torch.testing.assert_close(climbed - w, expected, rtol=1e-3, atol=1e-6)
    for p, g in zip(parameters, second, strict=True):
        torch.testing.assert_close(p.grad, g, rtol=1e-3, atol=1e-5 * g.abs().max().item())


def whole_gradient(latents: TrialData, weights: list[Tensor], indices: list[int]) -> list[Tensor]:
    """Return the gradient at `weights` of the cross entropy of the classes and half that of the codes, smoothed."""
    model = Trainer(config_of(), latents, CPU).classifier.model
    with torch.no_grad():
        for p, w in zip(model.parameters(), weights, strict=True):
            p.copy_(w)
    frames, codes = model.frames(latents.train.waves(indices)), latents.train.codes(indices)
    loss = F.cross_entropy(model.classify(frames), latents.train.labels[indices])
    for book, logits in enumerate(model.code_head(frames[..., :-1]).split(1024, dim=1)):
        loss = loss + 0.5 * F.cross_entropy(logits, codes[:, book], label_smoothing=0.1)
    return list(torch.autograd.grad(loss, list(model.parameters())))


@pytest.mark.parametrize("knobs", [{}, {"shift": 1.0}, {"crop_seconds": 0.1}, {"shift": 1.0, "mixup": 1.0}])
def test_a_trials_task_is_on_the_codes_of_what_the_model_sees(knobs, monkeypatch):
    codes = 40 * torch.arange(20)[:, None, None] + torch.arange(19) + torch.tensor([[0], [20]])
    clips = ClipsInMemory(codes[:, :1].float().expand(-1, 128, -1), torch.arange(20) % 3, 3, codes)
    trainer, seen, auxiliary = Trainer(config_of(**knobs), TrialData(clips, clips), CPU), [], CodeLM.auxiliary
    watch(trainer.classifier.model, seen.append)

    def spy(self: CodeLM, model: CausalConvNeXt, frames: Tensor, batch: Batch) -> Auxiliary:
        first = (batch.shares[:, :, None] * batch.codes[:, :, 0]).sum(1)
        torch.testing.assert_close(seen[-1][:, 77], first, rtol=1e-5, atol=1e-3)
        assert torch.equal(batch.codes[:, :, 1], batch.codes[:, :, 0] + 20)
        assert torch.equal(frames, CausalConvNeXt.frames(model, seen[-1]))
        spied.append(len(batch))
        return auxiliary(self, model, frames, batch)

    spied: list[int] = []
    monkeypatch.setattr(CodeLM, "auxiliary", spy)
    trainer.run_epoch()
    evaluated = 20 * [10] if "crop_seconds" in knobs else [8, 8, 4]
    assert spied == [8, 8, 4, *evaluated]


@pytest.fixture
def half_known(latents: TrialData) -> TrialData:
    """Latents with codes of which an untrained model tells a third in training and two thirds in validation."""
    model = Trainer(config_of(), latents, CPU).classifier.model
    for clips, share in ((latents.train, 1 / 3), (latents.val, 2 / 3)):
        with torch.no_grad():
            told = model.code_logits(model.frames(clips.held)).argmax(-1).transpose(1, 2)
        known = torch.rand(told.shape, generator=torch.Generator().manual_seed(3)) < share
        clips.held_codes = torch.where(known, told, clips.held_codes)
    return latents


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_an_epoch_tells_the_tasks_means_over_the_clips_of_each_side(smoothing, half_known):
    trainer = Trainer(config_of(code_lm=0.7, code_smoothing=smoothing, lr=1e-12), half_known, CPU)
    result, model, expected = trainer.run_epoch(), trainer.classifier.model, {}
    for side, clips in (("train", half_known.train), ("val", half_known.val)):
        with torch.no_grad():
            frames = model.frames(clips.held)
            logits = model.classify(frames)
            books = model.code_head(frames[..., :-1]).split(1024, dim=1)
        smoothed = smoothing if side == "train" else 0.0  # losses that are compared must not depend on it
        losses = [
            F.cross_entropy(book, clips.held_codes[:, n], label_smoothing=smoothed).item()
            for n, book in enumerate(books)
        ]
        right = [(book.argmax(1) == clips.held_codes[:, n]).float().mean().item() for n, book in enumerate(books)]
        expected |= {f"{side}_loss_codes": sum(losses), f"{side}_acc_codes": sum(right) / 2}
        assert getattr(result, f"{side}_loss") == pytest.approx(F.cross_entropy(logits, clips.labels).item(), rel=1e-5)
    assert result.figures == pytest.approx(expected, rel=1e-4)
    assert result.figures["train_acc_codes"] == pytest.approx(1 / 3, abs=0.05)
    assert result.figures["val_acc_codes"] == pytest.approx(2 / 3, abs=0.05)


def test_without_it_there_are_no_figures_of_codes(latents):
    assert Trainer(config_of(code_lm=0.0), latents, CPU).run_epoch().figures == {}


def test_a_trial_learns_codes_that_follow_from_what_came_before():
    # A clip's code is the same in all frames, and the first frame's latents tell which of ten it is.
    def clips(size: int, seed: int) -> ClipsInMemory:
        own = torch.randint(10, (size,), generator=torch.Generator().manual_seed(seed))
        x = 3.0 * F.one_hot(own, 128).float()[:, :, None].expand(-1, -1, 19)
        return ClipsInMemory(x, own % 3, 3, own[:, None, None].expand(-1, 2, 19).contiguous())

    config = config_of(epochs=8, lr=5e-3)
    results = list(train_trial(config, TrialData(clips(40, 0), clips(20, 1)), CPU))
    assert results[0].figures["val_acc_codes"] < 0.9
    assert results[-1].figures["val_acc_codes"] > 0.93  # of 19 frames the first can but be guessed
    assert results[-1].figures["val_acc_codes"] < 0.98
    assert results[-1].figures["val_loss_codes"] < 0.2 * results[0].figures["val_loss_codes"]


def timeless(results: Sequence[EpochResult]) -> list[dict[str, Any]]:
    return [asdict(result) | {"seconds": None} for result in results]


@pytest.mark.parametrize(
    "knobs",
    [{}, all_on("encodec"), {"causal_norm": "group", "causal_pool": "last", "sam_rho": 0.05, "dropout": 0.05}],
    ids=["alone", "with all others", "study"],
)
def test_a_trial_stopped_after_each_epoch_ends_as_an_uninterrupted_one(knobs, latents, tmp_path):
    config = config_of(code_smoothing=0.1, warmup_epochs=1.5, clip_grad=1.0, **knobs)
    whole = timeless(list(train_trial(config, latents, CPU, tmp_path / "whole.pt")))
    stopped = []
    for known in range(3):
        trial = train_trial(config, latents, CPU, tmp_path / "stopped.pt", known=known)
        stopped.append(next(trial))
        trial.close()
    assert timeless(stopped) == whole
    assert all(set(result["figures"]) == FIGURES for result in whole)
    first, second = (load_checkpoint(tmp_path / name) for name in ("whole.pt", "stopped.pt"))
    assert all(torch.equal(value, second["classifier"][name]) for name, value in first["classifier"].items())
    assert first["result"]["figures"] == second["result"]["figures"]


def test_a_loss_of_codes_that_is_not_finite_ends_the_trial(latents, monkeypatch):
    auxiliary = CodeLM.auxiliary

    def spoilt(self: CodeLM, model: CausalConvNeXt, *args: Any) -> Auxiliary:
        loss, figures = auxiliary(self, model, *args)
        return Auxiliary(loss, figures if model.training else figures | {"loss_codes": figures["loss_codes"] / 0.0})

    monkeypatch.setattr(CodeLM, "auxiliary", spoilt)
    (result,) = train_trial(config_of(), latents, CPU)
    assert result.diverged
    assert (result.train_loss, result.val_loss, result.val_acc) == (None, None, 0.0)
    assert result.figures["train_loss_codes"] is None
    assert result.figures["val_loss_codes"] is None
    assert set(result.figures) == FIGURES
    assert json.loads(json.dumps(asdict(result), allow_nan=False)) == asdict(result)


def test_half_precision_tells_nearly_the_same(latents):
    (single, exact), (half, rounded) = (step(latents, precision=name) for name in ("fp32", "bf16"))
    assert half["loss_codes"].dtype == torch.float32
    assert not torch.equal(half["loss_codes"], single["loss_codes"])
    torch.testing.assert_close(half["loss_codes"], single["loss_codes"], rtol=0.01, atol=0)
    difference = (rounded["code_head.weight"] - exact["code_head.weight"]).norm()
    assert difference < 0.03 * exact["code_head.weight"].norm()


def test_its_smoothing_alone_switches_nothing_on(latents):
    smoothed, plain = (config_of(code_lm=0.0, code_smoothing=share) for share in (0.1, 0.0))
    assert active(smoothed) == []
    results = [timeless(list(train_trial(config, latents, CPU))) for config in (smoothed, plain)]
    assert results[0] == results[1]
