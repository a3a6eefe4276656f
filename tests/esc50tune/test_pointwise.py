"""Linear maps of single frames, against matrix products in double precision."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from esc50tune.models.pointwise import PointwiseConv1d, PointwiseLinear
from esc50tune.speedups import without

WIDTHS = [(8, 32), (32, 8), (64, 256), (300, 280)]  # either side of where the ways change


def passes(layer: nn.Module, x: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
    x = x.clone().requires_grad_()
    y = layer(x)
    return y, *torch.autograd.grad(y, (x, layer.weight, layer.bias), grad.to(y.dtype))


def check(layer: nn.Module, frames_last: bool, autocast: bool, tolerance: float) -> None:
    """Compare output and gradients with those of frames times a matrix."""
    weight = layer.weight.detach().flatten(1)
    x, grad = torch.randn(3, 11, weight.shape[1]), torch.randn(3, 11, len(weight))
    exact = nn.Linear(*reversed(weight.shape), dtype=torch.double)
    exact.load_state_dict({"weight": weight, "bias": layer.bias.detach()})
    y, of_x, of_weight, of_bias = passes(exact, x.double(), grad.double())
    turned = (lambda a: a.mT.contiguous()) if frames_last else (lambda a: a)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        told = passes(layer, turned(x), turned(grad))
    assert told[0].dtype == (torch.bfloat16 if autocast else torch.float32)
    for a, b in zip(told, (turned(y), turned(of_x), of_weight.view_as(layer.weight), of_bias), strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() < tolerance * b.abs().max()


@pytest.mark.parametrize(("autocast", "tolerance"), [(False, 1e-5), (True, 2e-2)], ids=["fp32", "bf16"])
@pytest.mark.parametrize(("channels", "out_channels"), WIDTHS)
def test_they_multiply_each_frame_by_a_matrix(channels, out_channels, autocast, tolerance):
    torch.manual_seed(0)
    check(PointwiseConv1d(channels, out_channels), True, autocast, tolerance)
    check(PointwiseConv1d(channels, out_channels, contiguous=True), True, autocast, tolerance)
    check(PointwiseLinear(channels, out_channels), False, autocast, tolerance)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(("channels", "out_channels"), WIDTHS)
def test_the_output_is_channels_first_where_that_was_asked_for(channels, out_channels, autocast):
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        assert PointwiseConv1d(channels, out_channels, contiguous=True)(torch.ones(2, channels, 5)).is_contiguous()


def operations(layer: nn.Module, x: Tensor) -> set[str]:
    """Return the names of the differentiable operations that made the layer's output."""
    seen, left = set(), [layer(x).grad_fn]
    while left:
        node = left.pop()
        seen.add(node.name().rstrip("0123456789"))
        left += [parent for parent, _ in node.next_functions if parent is not None]
    return seen


@pytest.mark.parametrize("channels", [16, 64, 300])
def test_each_width_goes_the_way_that_pays(channels):
    x = torch.ones(2, channels, 5)
    conv, linear = PointwiseConv1d(channels, channels), PointwiseLinear(channels, channels)
    assert ("ConvolutionBackward" in operations(linear, x.mT)) == (channels >= 32)
    assert "ConvolutionBackward" in operations(conv, x)
    with torch.autocast("cpu", torch.bfloat16):
        assert "ConvolutionBackward" not in operations(conv, x) | operations(linear, x.mT)
    with without("pointwise"):
        assert "ConvolutionBackward" not in operations(linear, x.mT)
        with torch.autocast("cpu", torch.bfloat16):
            assert "ConvolutionBackward" in operations(conv, x)


def test_parameters_and_their_first_values_are_torchs():
    for ours, theirs in (
        (lambda: PointwiseConv1d(6, 5), lambda: nn.Conv1d(6, 5, 1)),
        (lambda: PointwiseLinear(6, 5), lambda: nn.Linear(6, 5)),
    ):
        torch.manual_seed(0)
        first = ours()
        torch.manual_seed(0)
        second = theirs()
        assert list(first.state_dict()) == list(second.state_dict())
        assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
        copy.deepcopy(second).load_state_dict(first.state_dict())
