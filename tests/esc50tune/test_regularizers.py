"""Each regularizer: off changes no bit of a trial, on does what its paper says."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from esc50tune import regularizers
from esc50tune.config import TrialConfig
from esc50tune.data.batch import Batch
from esc50tune.data.clips import TrialData
from esc50tune.models.convnext import ConvNeXt, PublishedBlock, SeedBlock
from esc50tune.regularizers import REGULARIZERS, Regularizer, active
from esc50tune.regularizers.code_lm import CodeLM
from esc50tune.regularizers.drop_path import DropPathLayer
from esc50tune.regularizers.ema import EMA
from esc50tune.regularizers.label_smoothing import LabelSmoothing
from esc50tune.regularizers.mixup import Mixup
from esc50tune.regularizers.shift import Shift
from esc50tune.seeds import stream
from esc50tune.trial import Trainer
from tests.conftest import CAUSAL, SMALL, all_on, switched_on

CPU = torch.device("cpu")
ALL_OFF = {name: 0.0 for method in REGULARIZERS for name in method.on}
PLACES = {"logmel": SMALL | {"convnext_form": "seed"}, "encodec": CAUSAL}
CASES = [(method, feature) for method in REGULARIZERS for feature in PLACES if switched_on(method, feature)]
everywhere = pytest.mark.parametrize("feature", PLACES)
each_method = pytest.mark.parametrize(
    ("method", "feature"), CASES, ids=[f"{method.name}-{feature}" for method, feature in CASES]
)


@pytest.fixture
def data(feature: str, tones_data: TrialData, latents: TrialData) -> TrialData:
    """Latents with codes where the feature is EnCodec's, else tones."""
    return latents if feature == "encodec" else tones_data


def test_every_method_has_a_place():
    assert {method for method, _ in CASES} == set(REGULARIZERS)
    assert (CodeLM, "encodec") in CASES


def train(flat: dict[str, Any], data: TrialData, epochs: int = 1) -> tuple[list[dict], dict[str, Tensor]]:
    """Return the results, without their wall time, and the last weights."""
    trainer = Trainer(TrialConfig.from_flat(flat), data, CPU)
    results = [asdict(trainer.run_epoch()) | {"seconds": None} for _ in range(epochs)]
    return results, trainer.classifier.state_dict()


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def make(method: type[Regularizer], **knobs: float) -> Regularizer:
    return method(TrialConfig.from_flat(ALL_OFF | knobs))


@each_method
def test_off_a_trial_is_bit_for_bit_as_if_the_method_did_not_exist(method, feature, data, monkeypatch):
    flat = PLACES[feature] | all_on(feature) | dict.fromkeys(method.on, 0.0)
    off = train(flat, data)
    monkeypatch.setattr(regularizers, "REGULARIZERS", [other for other in REGULARIZERS if other is not method])
    removed = train(flat, data)
    assert off[0] == removed[0]
    assert equal(off[1], removed[1])


@everywhere
def test_all_off_a_trial_is_bit_for_bit_as_if_no_method_existed(feature, data, monkeypatch):
    off = train(PLACES[feature] | ALL_OFF, data)
    monkeypatch.setattr(regularizers, "REGULARIZERS", [])
    none = train(PLACES[feature] | ALL_OFF, data)
    assert off[0] == none[0]
    assert equal(off[1], none[1])


@each_method
def test_on_the_training_differs_from_the_first_epoch(method, feature, data):
    flat = PLACES[feature] | ALL_OFF
    off, on = (train(flat | knobs, data)[0][0] for knobs in ({}, switched_on(method, feature)))
    seen = "val_loss" if method is EMA else "train_loss"  # an average of weights trains as without it
    assert on[seen] != off[seen]
    assert (on["train_loss"] == off["train_loss"]) is (method is EMA)


@everywhere
def test_what_is_on_changes_neither_the_first_weights_nor_the_statistics(feature, data):
    off, on = (
        Trainer(TrialConfig.from_flat(PLACES[feature] | knobs), data, CPU).classifier.state_dict()
        for knobs in (ALL_OFF, all_on(feature))
    )
    added = {"model.code_head.weight", "model.code_head.bias"} if feature == "encodec" else set()
    assert on.keys() - off.keys() == added
    assert equal(off, {name: on[name] for name in on.keys() - added})


def test_they_act_on_single_clips_first_then_mixtures_then_targets():
    names = [method.name for method in active(TrialConfig.from_flat(all_on()))]
    single = [names.index(name) for name in ("scale", "shift", "crop")]
    mixtures = [names.index(name) for name in ("between-class", "mixup")]
    assert max(single) < min(mixtures)
    assert max(mixtures) < names.index("label-smoothing")
    assert {*names, "code-lm"} == {method.name for method in REGULARIZERS}


@pytest.mark.parametrize("beside", ["mixup", "label_smoothing", "dropout"])
def test_another_methods_draws_do_not_move_shifts(beside, small, tones_data, monkeypatch):
    seen: list[Tensor] = []
    on_batch = Shift.on_batch

    def spy(self: Shift, batch: Batch, rng: np.random.Generator) -> Batch:
        result = on_batch(self, batch, rng)
        seen.append(result.waves)
        return result

    monkeypatch.setattr(Shift, "on_batch", spy)
    flat = small | ALL_OFF | Shift.on
    train(flat, tones_data, epochs=2)
    alone, seen = seen, []
    train(flat | {beside: 0.4}, tones_data, epochs=2)
    assert len(alone) == len(seen) == 2 * 5
    assert all(torch.equal(first, second) for first, second in zip(alone, seen, strict=True))
    assert not torch.equal(alone[0], alone[5])  # a new epoch draws anew


# Layers of a branch


def block_deltas(form: str, knobs: dict[str, float], training: bool) -> list[Tensor]:
    """Return what each of three blocks adds to its input, [64, C, T]."""
    torch.manual_seed(0)
    shape = {"convnext_form": form, "convnext_width": 16, "convnext_depths": [1, 1, 1]}
    model = ConvNeXt.from_config(TrialConfig.from_flat(ALL_OFF | knobs | shape), 1, 3).train(training)
    deltas = []
    for block in model.modules():
        if isinstance(block, SeedBlock | PublishedBlock):
            if form == "published":  # at 1e-6 a branch would drown in rounding
                nn.init.ones_(block.layer_scale)
            block.register_forward_hook(lambda _, inputs, output: deltas.append((output - inputs[0]).detach()))
    model(torch.randn(64, 1, 256))
    return deltas


forms = pytest.mark.parametrize("form", ["seed", "published"])


@forms
def test_dropout_zeroes_single_activations_of_a_branch(form):
    for delta in block_deltas(form, {"dropout": 0.3}, training=True):
        zeros, frames = (delta == 0).sum(2).double(), delta.shape[2]
        assert zeros.mean().item() / frames == pytest.approx(0.3, abs=0.02)
        # Frames are drawn alone: the zeros of a channel are binomial.
        assert zeros.var().item() / frames == pytest.approx(0.3 * 0.7, rel=0.15)


@forms
def test_channel_dropout_zeroes_whole_channels_of_a_clip(form):
    for delta in block_deltas(form, {"channel_dropout": 0.3}, training=True):
        zero = delta == 0
        silent = zero.all(2)
        assert silent.float().mean().item() == pytest.approx(0.3, abs=0.06)
        assert torch.equal(zero.any(2), silent)
        assert not silent.all(1).any()
        assert not silent.all(0).any()


@forms
def test_drop_path_skips_whole_branches_of_a_clip_more_often_with_depth(form):
    deltas = block_deltas(form, {"drop_path": 0.5}, training=True)
    for delta, rate in zip(deltas, (0.0, 0.25, 0.5), strict=True):
        zero = delta == 0
        silent = zero.all(2).all(1)
        assert silent.float().mean().item() == pytest.approx(rate, abs=0.2 * bool(rate))
        assert not zero[~silent].all(2).any()


@forms
@pytest.mark.parametrize("knobs", [{"dropout": 0.5}, {"channel_dropout": 0.5}, {"drop_path": 0.9}])
def test_no_layer_acts_in_evaluation(form, knobs):
    with_layer = block_deltas(form, knobs, training=False)
    assert all(map(torch.equal, with_layer, block_deltas(form, {}, training=False)))


@pytest.mark.parametrize("name", ["dropout", "channel_dropout", "drop_path"])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_what_survives_is_scaled_so_that_the_mean_stays(name, rate):
    torch.manual_seed(0)
    (method,) = active(TrialConfig.from_flat(ALL_OFF | {name: rate}))
    out = method.branch_layer(1.0)(torch.ones(2_000, 8, 4))
    assert sorted(out.unique().tolist()) == pytest.approx([0, 1 / (1 - rate)])
    assert out.mean().item() == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_drop_path_keeps_small_rates_in_any_precision(dtype):
    # Drawn in bfloat16, whose random numbers are multiples of 1/256, a rate of .001 would drop four times as often.
    torch.manual_seed(0)
    out = DropPathLayer(0.001)(torch.ones(200_000, 1, 1, dtype=dtype))
    assert out.dtype == dtype
    assert (out == 0).float().mean().item() == pytest.approx(0.001, abs=0.0003)


# mixup


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 10.0])
def test_mixup_mixes_clips_and_targets_with_the_same_shares(alpha):
    size = 9
    waves, targets = torch.randn(size, 1, 30), torch.eye(size)[:, :5]
    batch = make(Mixup, mixup=alpha).on_batch(Batch.of(waves, targets), stream(1, "mixup", 2))
    rng = stream(1, "mixup", 2)
    share = rng.beta(alpha, alpha, size)
    share = np.where(share < 0.5, 1 - share, share)
    other = rng.permutation(size)
    for i in range(size):
        r = share[i]
        torch.testing.assert_close(batch.waves[i], r * waves[i] + (1 - r) * waves[other[i]])
        torch.testing.assert_close(batch.targets[i], r * targets[i] + (1 - r) * targets[other[i]])


@pytest.mark.parametrize("alpha", [0.1, 1.0, 10.0])
def test_mixup_leaves_the_first_clip_the_heavier(alpha):
    # E |r - 1/2| = 1 / (4^a a B(a, a)) for r ~ Beta(a, a); for a = 1, which is uniform, 1/4.
    mean = 0.5 + math.gamma(2 * alpha) / math.gamma(alpha) ** 2 / (4**alpha * alpha)
    clips = torch.eye(2_000)
    batch = make(Mixup, mixup=alpha).on_batch(Batch.of(clips[:, None], clips), stream(0, "mixup"))
    targets, share = batch.targets, batch.targets.diagonal()
    assert torch.equal(batch.waves[:, 0], targets)
    assert share.min() >= 0.5
    assert share.mean().item() == pytest.approx(mean, abs=0.012)
    torch.testing.assert_close(targets.sum(1), torch.ones(2_000))


# Label smoothing


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_label_smoothing_gives_torchs_smoothed_cross_entropy(share):
    logits, labels = torch.randn(6, 5), torch.tensor([0, 4, 2, 2, 1, 3])
    waves, hard = torch.randn(6, 1, 4), nn.functional.one_hot(labels, 5).float()
    batch = make(LabelSmoothing, label_smoothing=share).on_batch(Batch.of(waves, hard), stream(0))
    expected = nn.functional.cross_entropy(logits, labels, label_smoothing=share)
    torch.testing.assert_close(nn.functional.cross_entropy(logits, batch.targets), expected)
    assert torch.equal(batch.waves, waves)


# Shift


def shifted(waves: Tensor, **knobs: float) -> Tensor:
    targets = torch.rand(len(waves), 3)
    before = targets.clone()
    batch = make(Shift, **knobs).on_batch(Batch.of(waves, targets), stream(0, "shift"))
    assert torch.equal(batch.targets, before)
    return batch.waves


@pytest.mark.parametrize(("length", "share"), [(7, 1.0), (100, 1.0), (100, 0.1)])
def test_a_shifted_clip_is_torchs_roll_of_it(length, share):
    waves = torch.randn(60, 2, length)
    offsets = np.rint(stream(0, "shift").uniform(-1.0, 1.0, 60) * share * length / 2).astype(int).tolist()
    for before, after, offset in zip(waves, shifted(waves, shift=share), offsets, strict=True):
        assert torch.equal(after, before.roll(offset, -1))
    assert min(offsets) < 0 < max(offsets)


def assert_uniform(values: np.ndarray, low: float, high: float) -> None:
    """The largest gap between the empirical distribution and the uniform one (Kolmogorov) stays small."""
    assert low <= values.min()
    assert values.max() <= high
    ranks = (np.arange(len(values)) + 0.5) / len(values)
    assert np.abs((np.sort(values) - low) / (high - low) - ranks).max() < 1.63 / np.sqrt(len(values))


@pytest.mark.parametrize(("share", "furthest"), [(1.0, 500), (0.2, 100)])
def test_shift_turns_clips_evenly_in_both_directions(share, furthest):
    impulse = torch.zeros(3_000, 1, 1_000)
    impulse[:, :, 500] = 1.0
    out = shifted(impulse, shift=share)
    assert (out.sum(-1) == 1).all()
    assert (out.amax(-1) == 1).all()
    offsets = torch.where(out[:, 0, 0] == 1, 500, out[:, 0].argmax(1) - 500)  # 500 to the right is 500 to the left
    assert_uniform(offsets.numpy(), -furthest, furthest)


@pytest.mark.parametrize("limit", [6.0, 12.0])
def test_gain_is_even_in_decibels(limit):
    out = shifted(torch.full((3_000, 1, 4), 0.25), gain_db=limit)
    assert (out > 0).all()
    assert (out == out[:, :, :1]).all()
    assert_uniform(20 * torch.log10(out[:, 0, 0].double() / 0.25).numpy(), -limit - 1e-5, limit + 1e-5)


@pytest.mark.parametrize("probability", [0.2, 0.5, 1.0])
def test_polarity_flips_as_many_clips_as_asked(probability):
    out = shifted(torch.ones(3_000, 1, 4), polarity=probability)
    assert set(out.unique().tolist()) <= {-1.0, 1.0}
    assert (out == out[:, :, :1]).all()
    assert (out[:, 0, 0] < 0).float().mean().item() == pytest.approx(probability, abs=0.03)


# Weight decay


def decayed_names(model: nn.Module) -> set[str]:
    """Return the kernels and matrices of convolutions and linear layers; of weight-normed ones the direction."""
    names = set()
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv1d | nn.Linear):
            normed = hasattr(module, "parametrizations")
            names.add(f"{name}.parametrizations.weight.original1" if normed else f"{name}.weight")
    return names


MODELS = [
    *itertools.product(["hifigan"], ["published"], ["raw", "logmel"]),
    *itertools.product(["convnext"], ["seed", "published"], ["raw", "logmel"]),
    ("causal", "published", "encodec"),
]
each_model = pytest.mark.parametrize(("model", "form", "feature"), MODELS)


def knobs_of(model: str, form: str, feature: str) -> dict[str, Any]:
    """Return knobs of a model with all that belongs to it: of the causal one with its head for codes, too."""
    small = CAUSAL if feature == "encodec" else SMALL
    return small | ALL_OFF | switched_on(CodeLM, feature) | {"model": model, "convnext_form": form, "feature": feature}


@each_model
@pytest.mark.parametrize("norms", [False, True])
@torch.no_grad()
def test_weight_decay_shrinks_weights_and_only_on_demand_what_else_there_is(model, form, feature, norms, data):
    flat = knobs_of(model, form, feature) | {"weight_decay": 0.5, "weight_decay_norms": norms, "lr": 0.1}
    trainer = Trainer(TrialConfig.from_flat(flat), data, CPU)
    before = {name: value.clone() for name, value in trainer.classifier.named_parameters()}
    for parameter in trainer.classifier.parameters():
        parameter.grad = torch.zeros_like(parameter)
    trainer.optimizer.step()  # without gradient AdamW only decays, by lr times decay
    decayed = decayed_names(trainer.classifier)
    assert decayed < set(before)
    for name, value in trainer.classifier.named_parameters():
        torch.testing.assert_close(value, before[name] * (0.95 if norms or name in decayed else 1.0))


@each_model
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_every_parameter_is_optimised_in_exactly_one_group(model, form, feature, weight_decay, data):
    flat = knobs_of(model, form, feature) | {"weight_decay": weight_decay}
    trainer = Trainer(TrialConfig.from_flat(flat), data, CPU)
    grouped = [id(parameter) for group in trainer.optimizer.param_groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in trainer.classifier.parameters())
