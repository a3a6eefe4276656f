"""A depthwise convolution over time: `nn.Conv1d`'s parameters and results, by the ways that are fast on a CPU.

Two of torch's three passes need help there. The forward pass is fast without padding alone, so long kernels pad first.
The gradient of the weights is slow at any length; here it is a matrix product of blocks of the clip, whose diagonals
it is the sum of. Forward and backward together, with 49 taps and 96 to 512 channels: 3.7 to 6.8 times as fast as torch
in single precision, 5.6 to 9.6 times in bfloat16. Through the spectrum, with the input's transform kept, it was about
as fast as this in single precision, and there is no spectrum in bfloat16.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from esc50tune.speedups import cpu_dtype

# Fewest taps that gain on every shape tried: single precision wins from 15 on (x 1.2 to 2.9) and with 7 it depends
# (x 0.8 to 1.3); bfloat16 wins from 7 on (x 1.1 to 2.2 but for 16 channels, where it is even) and loses with 3.
FEWEST_TAPS, FEWEST_TAPS_BF16 = 15, 7
# oneDNN's fast kernel takes padding up to 6 frames with AVX512, up to 4 with AVX2; beyond, its forward pass takes 5 to
# 25 times as long as padding the clip first does.
WIDEST_PADDING = 4
BLOCK = 32  # frames; of 16, 32, 64 and 128 the best or close to it


class DepthwiseConv1d(nn.Conv1d):
    """`nn.Conv1d(channels, channels, kernel, groups=channels)`, `[B, C, T]` to `[B, C, T']`.

    Args:
        channels: each is convolved for itself.
        kernel: taps; odd where the length is kept.
        padding: 'same' keeps the length, 'valid' pads nothing.
    """

    def __init__(self, channels: int, kernel: int, padding: str = "same") -> None:
        super().__init__(channels, channels, kernel, padding=padding, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        dtype, kernel = cpu_dtype("depthwise", x), self.kernel_size[0]
        if dtype is None or kernel < (FEWEST_TAPS_BF16 if dtype == torch.bfloat16 else FEWEST_TAPS):
            return super().forward(x)
        padding = kernel // 2 if self.padding == "same" else 0
        with torch.autocast("cpu", enabled=False):
            return Depthwise.apply(x.to(dtype), self.weight.to(dtype), self.bias.to(dtype), padding)


class Depthwise(torch.autograd.Function):
    """Depthwise convolution of `x` [B, C, T] with `weight` [C, 1, K], plus `bias` [C]; all of one type."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        if padding > WIDEST_PADDING:
            x, padding = F.pad(x, (padding, padding)), 0
        return F.conv1d(x, weight, bias, padding=padding, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        of_x, _, _ = torch.ops.aten.convolution_backward(
            grad,
            x,
            weight,
            None,
            [1],
            [ctx.padding],
            [1],
            False,
            [0],
            len(weight),
            (ctx.needs_input_grad[0], False, False),
        )
        return of_x, weight_gradient(grad, x, weight.shape[-1], ctx.padding), grad.sum((0, 2)), None


def weight_gradient(grad: Tensor, x: Tensor, kernel: int, padding: int) -> Tensor:
    """Return the weights' gradient [C, 1, K]: for each tap k the sum of grad[t] x[t + k - padding] over clips and time.

    Time is cut into blocks of `grad` and the stretches of `x` that they were computed from. Their product over clips
    and blocks holds, at (i, i + k), all that tap k has with the frames i of the blocks.
    """
    clips, channels, length = grad.shape
    block = min(BLOCK, length)
    count, width = -(-length // block), block + kernel - 1
    rest = count * block - length
    grads = F.pad(grad, (0, rest)).view(clips, channels, count, block)
    stretches = F.pad(x, (padding, padding + rest)).unfold(-1, width, block)
    first, second = (a.transpose(0, 1).reshape(channels, clips * count, -1) for a in (grads, stretches))
    products = first.mT @ second  # [C, block, width]
    diagonals = products.as_strided((channels, block, kernel), (block * width, width + 1, 1))
    return diagonals.sum(1)[:, None]
