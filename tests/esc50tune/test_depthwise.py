"""The fast depthwise convolution, against sums written out in double precision."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esc50tune.models.depthwise import DepthwiseConv1d
from esc50tune.speedups import without

Tensors = tuple[Tensor, ...]


def written_out(x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
    """y[t] = bias + the sum over taps k of weight[k] x[t + k - padding], where x is 0 outside of the clip."""
    windows = F.pad(x, (padding, padding)).unfold(-1, weight.shape[-1], 1)  # [B, C, T', K]
    return torch.einsum("bctk,ck->bct", windows, weight[:, 0]) + bias[:, None]


def passes(layer: DepthwiseConv1d, x: Tensor, grad: Tensor) -> Tensors:
    """Return output, and gradients of input, weight and bias."""
    x = x.clone().requires_grad_()
    y = layer(x)
    return y.detach(), *torch.autograd.grad(y, (x, layer.weight, layer.bias), grad.to(y.dtype))


def expected(layer: DepthwiseConv1d, x: Tensor, grad: Tensor) -> Tensors:
    x = x.double().requires_grad_()
    weight, bias = (p.detach().double().requires_grad_() for p in (layer.weight, layer.bias))
    y = written_out(x, weight, bias, layer.kernel_size[0] // 2 if layer.padding == "same" else 0)
    return y.detach(), *torch.autograd.grad(y, (x, weight, bias), grad.double())


def worst(told: Tensors, exact: Tensors) -> float:
    """Return the largest deviation, as a share of the largest value of the tensor that it is in."""
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(told, exact, strict=True))


def clip_of(layer: DepthwiseConv1d, clips: int, length: int) -> tuple[Tensor, Tensor]:
    """Return an input of which the layer makes `length` frames, and a gradient of its output."""
    lost = 0 if layer.padding == "same" else layer.kernel_size[0] - 1
    return torch.randn(clips, layer.in_channels, length + lost), torch.randn(clips, layer.in_channels, length)


def is_fast(layer: DepthwiseConv1d, device: str = "cpu") -> bool:
    return type(layer(torch.ones(1, 4, 70, device=device)).grad_fn).__name__ == "DepthwiseBackward"


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("clips", "length"), [(1, 1), (2, 5), (3, 31), (1, 32), (2, 33), (2, 257)])
@pytest.mark.parametrize("kernel", [15, 49, 201])
def test_single_precision_is_exact_to_1e_minus_5(kernel, clips, length, padding):
    torch.manual_seed(0)
    layer = DepthwiseConv1d(4, kernel, padding)
    x, grad = clip_of(layer, clips, length)
    assert worst(passes(layer, x, grad), expected(layer, x, grad)) < 1e-5


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("clips", "length"), [(1, 1), (3, 31), (2, 65)])
def test_double_precision_is_exact(clips, length, padding):
    torch.manual_seed(0)
    layer = DepthwiseConv1d(4, 21, padding).double()
    x, grad = (a.double() for a in clip_of(layer, clips, length))
    assert worst(passes(layer, x, grad), expected(layer, x, grad)) < 1e-12


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel", [7, 9, 11, 49])
def test_autocast_computes_in_bfloat16_and_gives_gradients_of_the_parameters_type(kernel, padding):
    torch.manual_seed(0)
    layer = DepthwiseConv1d(4, kernel, padding)
    x, grad = clip_of(layer, 3, 70)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
        told = passes(layer, x, grad)
    assert [t.dtype for t in told[1:]] == [torch.float32] * 3
    assert 1e-4 < worst(told, expected(layer, x, grad)) < 2e-2


def test_a_channels_last_input_is_the_same_input():
    torch.manual_seed(0)
    layer = DepthwiseConv1d(4, 15)
    x, grad = clip_of(layer, 2, 40)
    last = x.mT.contiguous().mT
    assert worst(passes(layer, last, grad.mT.contiguous().mT), expected(layer, x, grad)) < 1e-5


def test_an_input_that_needs_no_gradient_gets_none():
    torch.manual_seed(0)
    layer = DepthwiseConv1d(4, 15)
    x, grad = clip_of(layer, 2, 40)
    layer(x).backward(grad)
    _, _, weight, bias = expected(layer, x, grad)
    assert worst((layer.weight.grad, layer.bias.grad), (weight, bias)) < 1e-5


def test_short_kernels_and_other_devices_are_torchs():
    assert [kernel for kernel in range(1, 30, 2) if is_fast(DepthwiseConv1d(4, kernel))] == list(range(15, 30, 2))
    with torch.autocast("cpu", torch.bfloat16):
        assert [kernel for kernel in range(1, 16, 2) if is_fast(DepthwiseConv1d(4, kernel))] == list(range(7, 16, 2))
    assert not is_fast(DepthwiseConv1d(4, 49).to("meta"), "meta")
    with without("depthwise"):
        assert not is_fast(DepthwiseConv1d(4, 49))


@pytest.mark.parametrize(("padding", "plain"), [("same", {"padding": "same"}), ("valid", {})])
def test_parameters_and_their_first_values_are_torchs(padding, plain):
    torch.manual_seed(0)
    ours = DepthwiseConv1d(6, 49, padding)
    torch.manual_seed(0)
    theirs = nn.Conv1d(6, 6, 49, groups=6, **plain)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 6, 90)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_a_clip_shorter_than_an_unpadded_kernel_is_refused_as_torch_does():
    for layer in (DepthwiseConv1d(4, 15, "valid"), nn.Conv1d(4, 4, 15, groups=4)):
        with pytest.raises(RuntimeError, match="Kernel size"):
            layer(torch.randn(1, 4, 14))
