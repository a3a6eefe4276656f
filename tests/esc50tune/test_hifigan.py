"""The baseline, against the study's numbers and against plain convolutions."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from esc50tune.config import TrialConfig
from esc50tune.models.hifigan import HiFiGANClassifier
from tests.conftest import assert_same

RAW, FEATURES = (4, 4, 4, 4, 1), (2, 2, 1, 1, 1)


def parameter_count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def full() -> HiFiGANClassifier:
    """The baseline at full size."""
    torch.manual_seed(0)
    return HiFiGANClassifier.from_config(TrialConfig(), 1, 50).eval()


def test_the_baseline_has_the_studys_parameters(full):
    layers = [parameter_count(layer) for layer in [*full.layers, full.last]]
    assert layers == [2_176, 168_192, 84_480, 336_896, 1_345_536, 2_689_024, 5_244_928, 153_700]
    assert parameter_count(full) == 10_024_932


@torch.no_grad()
def test_five_seconds_become_862_frames_of_logits(full):
    x = torch.randn(1, 1, 220_500)
    assert full.last(full.frames(x)).shape == (1, 50, 862)


def reference(weights: dict[str, torch.Tensor], x: torch.Tensor, scales: tuple[int, ...]) -> torch.Tensor:
    """Eight convolutions with weights g v / ||v||, as the paper has them; the mean of the last over time."""
    strides = (1, *scales, 1, 1)
    groups = (1, 4, 16, 16, 16, 16, 1, 1)
    names = [f"layers.{i}" for i in range(7)] + ["last"]
    for name, stride, group in zip(names, strides, groups, strict=True):
        g = weights[f"{name}.parametrizations.weight.original0"]
        v = weights[f"{name}.parametrizations.weight.original1"]
        weight = g * v / v.square().sum((1, 2), keepdim=True).sqrt()
        x = F.conv1d(x, weight, weights[f"{name}.bias"], stride, (weight.shape[2] - 1) // 2, groups=group)
        if name != "last":
            x = torch.where(x > 0, x, 0.1 * x)
    return x.sum(2) / x.shape[2]


@torch.no_grad()
def shaken(model: HiFiGANClassifier) -> HiFiGANClassifier:
    """Change every parameter: else weight norm's g would be the norm of v, and nothing to see."""
    for parameter in model.parameters():
        parameter.mul_(torch.empty_like(parameter).uniform_(0.5, 2.0))
    return model.double()


@pytest.mark.parametrize(("in_channels", "scales", "length"), [(1, RAW, 3_001), (16, FEATURES, 90)])
def test_logits_and_gradients_are_those_of_plain_convolutions(in_channels, scales, length):
    torch.manual_seed(0)
    model = shaken(HiFiGANClassifier(in_channels, 5, channels=16))
    x = torch.randn(3, in_channels, length, dtype=torch.double)
    assert_same(model, lambda w, x: reference(w, x, scales), x)


def test_the_studys_baseline_is_plain_convolutions_on_a_quarter_of_a_second(full):
    torch.manual_seed(0)
    x = torch.randn(1, 1, 11_025, dtype=torch.double)
    assert_same(shaken(copy.deepcopy(full)), lambda w, x: reference(w, x, RAW), x)


@pytest.mark.parametrize(("in_channels", "length", "frames"), [(1, 2_560, 10), (16, 80, 20)])
@torch.no_grad()
def test_a_frame_stands_for_256_samples_or_4_feature_frames(in_channels, length, frames):
    model = HiFiGANClassifier(in_channels, 7, channels=4)
    assert model.last(model.frames(torch.randn(2, in_channels, length))).shape == (2, 7, frames)


@torch.no_grad()
def test_a_logit_is_its_frames_mean():
    model = HiFiGANClassifier(1, 3, channels=4)
    x = torch.randn(2, 1, 1_000)
    torch.testing.assert_close(model(x), model.last(model.frames(x)).mean(2))


@torch.no_grad()
def test_statistics_pooling_classifies_from_mean_and_deviation_of_every_layer():
    torch.manual_seed(0)
    model = HiFiGANClassifier(3, 5, 4, "statistics").double()
    x = torch.randn(6, 3, 64, dtype=torch.double)
    seen: list[np.ndarray] = []
    for layer in model.layers:
        layer.register_forward_hook(lambda _, __, out: seen.append(np.maximum(0.1 * out.numpy(), out.numpy())))
    logits = model(x)
    expected = np.concatenate([part for y in seen for part in (y.mean(2), np.sqrt(y.var(2) + 1e-5))], axis=1)
    expected = torch.from_numpy((expected - expected.mean(0)) / np.sqrt(expected.var(0) + 1e-5))
    assert len(seen) == 7
    torch.testing.assert_close(logits, F.linear(expected, model.last[1].weight[..., 0], model.last[1].bias))


@pytest.mark.parametrize("channels", range(4, 132, 4))
def test_every_width_that_its_knob_allows_can_be_built(channels):
    with torch.device("meta"):
        HiFiGANClassifier(1, 3, channels=channels)


@pytest.mark.parametrize(("channels", "groups"), [(8, 8), (12, 12), (16, 16), (20, 4), (24, 8), (64, 16)])
def test_the_groups_are_as_many_as_divide_the_channels_at_most_16(channels, groups):
    with torch.device("meta"):
        layers = HiFiGANClassifier(1, 3, channels=channels).layers
    assert [layer.groups for layer in layers[1:6]] == [4, *[groups] * 4]


def test_the_knob_sets_the_width():
    model = HiFiGANClassifier.from_config(TrialConfig(hifigan_channels=8), 1, 3)
    assert [layer.out_channels for layer in [*model.layers, model.last]] == [8, 8, 16, 32, 64, 64, 64, 3]
