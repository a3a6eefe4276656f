"""Both forms of the 1d ConvNeXt, against functions written from their descriptions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from esc50tune.config import TrialConfig
from esc50tune.models.convnext import ConvNeXt, PublishedBlock, SeedBlock
from esc50tune.regularizers.drop_path import DropPathLayer
from tests.conftest import assert_same

F = torch.nn.functional
SEED_RAW = {
    "convnext_form": "seed",
    "convnext_width": 64,
    "convnext_depths": (3, 3, 3, 3),
    "convnext_kernel": 49,
    "convnext_stem_kernel": 16,
    "convnext_stem_stride": 16,
    "convnext_downsample": 4,
}
SEED_LATENTS = {
    "convnext_form": "seed",
    "convnext_width": 256,
    "convnext_depths": (3, 3),
    "convnext_kernel": 49,
    "convnext_stem_kernel": 4,
    "convnext_stem_stride": 4,
    "convnext_downsample": 2,
}


class Scaled(nn.Module):
    """Stands for a regularizer's layer: its place and depth can be read from what it multiplies by."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def blocks(model: ConvNeXt) -> list[nn.Module]:
    return [layer for layer in model.trunk if isinstance(layer, SeedBlock | PublishedBlock)]


def shaken(model: ConvNeXt) -> ConvNeXt:
    """Give every parameter a value of its own: LayerScale at 1e-6 or a bias at 0 would hide what it does."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 + 0.1)
    return model.double()


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def standardise(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    centred = x - x.mean(axes, keepdim=True)
    return centred / (centred.square().mean(axes, keepdim=True) + eps).sqrt()


def group_norm(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    """GroupNorm of one group: one mean and one deviation a clip."""
    return standardise(x, (1, 2), 1e-5) * weights[name + ".weight"][:, None] + weights[name + ".bias"][:, None]


def frame_norm(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    """LayerNorm of [B, T, C]: one mean and one deviation a frame."""
    return standardise(x, (2,), 1e-6) * weights[name + ".weight"] + weights[name + ".bias"]


def conv(x: Tensor, weights: dict[str, Tensor], name: str, **options: int) -> Tensor:
    return F.conv1d(x, weights[name + ".weight"], weights[name + ".bias"], **options)


def linear(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    return x @ weights[name + ".weight"].T + weights[name + ".bias"]


def depthwise(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    kernel = weights[name + ".weight"].shape[2]
    return conv(F.pad(x, (kernel // 2, kernel // 2)), weights, name, groups=x.shape[1])


def seed_reference(w: dict[str, Tensor], x: Tensor, stem: int, downsample: int, factors: list[list[float]]) -> Tensor:
    """The original study's ConvNeXt; its head votes frame by frame before the mean over time."""
    x, at, left = group_norm(conv(x, w, "trunk.0", stride=stem), w, "trunk.1"), 2, itertools.chain(*factors)
    for stage in factors:
        x = group_norm(conv(x, w, f"trunk.{at}", stride=downsample), w, f"trunk.{at + 1}")
        at += 2
        for _ in stage:
            name = f"trunk.{at}.branch"
            branch = group_norm(depthwise(x, w, f"{name}.0"), w, f"{name}.1")
            branch = conv(gelu(conv(branch, w, f"{name}.2")), w, f"{name}.4")
            x, at = x + next(left) * branch, at + 1
    return F.conv1d(x, w["head.weight"][:, :, None], w["head.bias"]).mean(2)


def published_reference(
    w: dict[str, Tensor], x: Tensor, stem: int, downsample: int, factors: list[list[float]]
) -> Tensor:
    """arXiv 2201.03545 in one dimension, channels last between convolutions."""
    x, at, left = frame_norm(conv(x, w, "trunk.0", stride=stem).mT, w, "trunk.1"), 2, itertools.chain(*factors)
    for number, stage in enumerate(factors):
        if number > 0:
            x = conv(frame_norm(x, w, f"trunk.{at}").mT, w, f"trunk.{at + 1}", stride=downsample).mT
            at += 2
        for _ in stage:
            name = f"trunk.{at}"
            branch = frame_norm(depthwise(x.mT, w, f"{name}.depthwise").mT, w, f"{name}.mlp.0")
            branch = linear(gelu(linear(branch, w, f"{name}.mlp.1")), w, f"{name}.mlp.3")
            x, at = x + next(left) * w[f"{name}.layer_scale"][:, 0] * branch, at + 1
    return linear(frame_norm(x.mean(1, keepdim=True), w, "head.0"), w, "head.1")[:, 0]


@pytest.mark.parametrize(("form", "reference"), [("seed", seed_reference), ("published", published_reference)])
@pytest.mark.parametrize(("stem", "downsample", "kernel"), [(4, 2, 7), (5, 3, 1)])
def test_logits_and_gradients_are_those_of_the_description(form, reference, stem, downsample, kernel):
    torch.manual_seed(0)
    model = shaken(
        ConvNeXt(
            3, 5, form, 6, (2, 1, 1), kernel, (stem, stem), downsample, branch_layers=lambda depth: [Scaled(1 + depth)]
        )
    )
    x = torch.randn(2, 3, 200, dtype=torch.double)
    assert_same(model, lambda w, x: reference(w, x, stem, downsample, [[1, 4 / 3], [5 / 3], [2]]), x)


@pytest.mark.parametrize("form", ["seed", "published"])
@torch.no_grad()
def test_statistics_pooling_classifies_from_mean_and_deviation_of_every_stage(form):
    torch.manual_seed(0)
    model = shaken(ConvNeXt(3, 5, form, 4, (2, 1), stem=(2, 2), pool="statistics"))
    x = torch.randn(6, 3, 40, dtype=torch.double)
    first, second = blocks(model)[1:]
    seen: list[np.ndarray] = []
    for block in (first, second):
        block.register_forward_hook(lambda _, __, frames: seen.append(frames.numpy()))
    logits = model(x)
    expected = np.concatenate([f(stage) for stage in seen for f in (mean_over_time, deviation_over_time)], axis=1)
    expected = (expected - expected.mean(0)) / np.sqrt(expected.var(0) + 1e-5)  # normed over the clips of the batch
    norm, linear_layer = model.head
    expected = torch.from_numpy(expected) * norm.weight + norm.bias
    torch.testing.assert_close(logits, linear_layer(expected))


def mean_over_time(frames: np.ndarray) -> np.ndarray:
    return frames.mean(2)


def deviation_over_time(frames: np.ndarray) -> np.ndarray:
    return np.sqrt(frames.var(2) + 1e-5)


@pytest.mark.parametrize(("form", "length"), [("seed", 16), ("published", 8)])
def test_statistics_pooling_learns_from_one_clip_of_one_last_frame(form, length):
    model = ConvNeXt(3, 5, form, 4, (1, 1), stem=(4, 4), pool="statistics")
    assert model.trunk(torch.randn(1, 3, length)).shape[-1] == 1  # it has no deviation, and the root of 0 no slope
    model(torch.randn(1, 3, length)).sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@torch.no_grad()
def test_statistics_pooling_evaluates_each_clip_by_itself():
    model = ConvNeXt(3, 5, width=4, depths=(1, 1), pool="statistics")
    model(torch.randn(8, 3, 40))
    x = torch.randn(4, 3, 40)
    model.eval()
    torch.testing.assert_close(model(x)[1:2], model(x[1:2]))


@pytest.mark.parametrize(
    ("knobs", "shape"),
    [(SEED_RAW | {"convnext_width": 8}, (2, 1, 22_050)), (SEED_LATENTS, (2, 128, 375))],
    ids=["raw, narrower", "latents"],
)
def test_the_studys_models_are_those_of_the_description(knobs, shape):
    torch.manual_seed(0)
    config = TrialConfig(**knobs)
    model = ConvNeXt.from_config(config, shape[1], 50).double()
    factors = [[1.0] * depth for depth in config.convnext_depths]
    stem, downsample = config.convnext_stem_stride, config.convnext_downsample
    x = torch.randn(shape, dtype=torch.double)
    assert_same(model, lambda w, x: seed_reference(w, x, stem, downsample, factors), x)


@pytest.mark.parametrize("form", ["seed", "published"])
@pytest.mark.parametrize("depths", [(1,), (1, 1), (3, 1, 2)])
def test_relative_depth_runs_from_0_at_the_first_block_to_1_at_the_last(form, depths):
    seen = []
    ConvNeXt(1, 2, form, 4, depths, branch_layers=lambda depth: seen.append(depth) or [])
    assert seen == pytest.approx({1: [1.0], 2: [0.0, 1.0], 6: [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]}[sum(depths)])


@pytest.mark.parametrize("form", ["seed", "published"])
def test_drop_path_grows_linearly_over_all_stages(form):
    config = TrialConfig(convnext_form=form, convnext_width=4, convnext_depths=(1, 2, 1), drop_path=0.3)
    layers = [layer for layer in ConvNeXt.from_config(config, 1, 2).modules() if isinstance(layer, DropPathLayer)]
    assert [layer.rate for layer in layers] == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_the_seed_form_has_the_studys_parameters():
    with torch.device("meta"):  # shapes alone, no 146 MB of weights
        assert parameter_count(ConvNeXt.from_config(TrialConfig(**SEED_RAW), 1, 50)) == 36_595_186
        assert parameter_count(ConvNeXt(1, 50, "seed", 64, (3, 3, 3, 3), 49, (16, 16), 4)) == 36_595_186
        assert parameter_count(ConvNeXt.from_config(TrialConfig(**SEED_LATENTS), 128, 50)) == 33_218_354
        assert parameter_count(ConvNeXt(128, 50, "seed", 256, (3, 3), 49, (4, 4), 2)) == 33_218_354


@pytest.mark.parametrize(
    ("depths", "width", "kernel", "stem", "downsample"), [((3, 3, 9, 3), 96, 7, 4, 2), ((2, 1), 16, 31, 8, 4)]
)
def test_the_published_form_has_the_papers_parameters(depths, width, kernel, stem, downsample):
    channels, classes = 128, 50

    def block(c: int) -> int:
        return (c * kernel + c) + 2 * c + (4 * c * c + 4 * c) + (4 * c * c + c) + c

    widths = [width * 2**stage for stage in range(len(depths))]
    expected = (channels * width * stem + width) + 2 * width
    expected += sum(depth * block(c) for depth, c in zip(depths, widths, strict=True))
    expected += sum(2 * c + (2 * c * c * downsample + 2 * c) for c in widths[:-1])
    expected += 2 * widths[-1] + (widths[-1] * classes + classes)
    config = TrialConfig(
        convnext_width=width,
        convnext_depths=depths,
        convnext_kernel=kernel,
        convnext_stem_kernel=stem,
        convnext_stem_stride=stem,
        convnext_downsample=downsample,
    )
    with torch.device("meta"):
        assert parameter_count(ConvNeXt.from_config(config, channels, classes)) == expected


def test_the_published_form_starts_as_published():
    torch.manual_seed(0)
    model = ConvNeXt(64, 50, width=48, depths=(1, 1))
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Linear):
            values = module.weight.detach().flatten()
            spread = 3 * 0.02 / math.sqrt(2 * len(values))  # three standard errors of a deviation
            assert values.std().item() == pytest.approx(0.02, abs=spread)
            assert values.abs().max() < 2.0
            assert not module.bias.any()
        if isinstance(module, nn.LayerNorm):
            assert (module.weight == 1).all()
            assert not module.bias.any()
    # The cut is at 2, not at two deviations: as many values lie beyond 0.04 as of any normal.
    values = torch.cat([p.detach().flatten() for name, p in model.named_parameters() if "mlp" in name and p.ndim == 2])
    assert (values.abs() > 0.04).float().mean().item() == pytest.approx(0.0455, abs=0.004)
    assert all((block.layer_scale == 1e-6).all() for block in blocks(model))


def test_the_seed_form_starts_as_torch_does():
    torch.manual_seed(0)
    for module in ConvNeXt(8, 50, "seed", width=8, depths=(1,)).modules():
        if isinstance(module, nn.Conv1d | nn.Linear):
            bound = 1 / math.sqrt(module.weight[0].numel())
            assert 0.8 * bound < module.weight.abs().max() <= bound
            assert module.bias.any()


@pytest.mark.parametrize(("kernel", "stride"), [(4, 4), (16, 16), (8, 4), (7, 2), (7, 4), (15, 5), (3, 1)])
@torch.no_grad()
def test_a_stem_that_overlaps_still_gives_a_frame_a_stride(kernel, stride):
    model = ConvNeXt(1, 2, width=4, depths=(1,), stem=(kernel, stride))
    assert model.trunk(torch.randn(1, 1, 12 * stride)).shape == (1, 4, 12)


@pytest.mark.parametrize("form", ["seed", "published"])
@torch.no_grad()
def test_clips_of_a_batch_do_not_see_each_other(form):
    torch.manual_seed(0)
    model = shaken(ConvNeXt(1, 3, form, 4, (1, 1)))
    x = torch.randn(3, 1, 64, dtype=torch.double)
    torch.testing.assert_close(model(x)[1:2], model(x[1:2]))
