"""What the ConvNeXts share: a norm, and the regularizers' layers at the end of each residual branch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from esc50tune.regularizers import active

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig

BranchLayers = Callable[[float], Sequence[nn.Module]]


def no_branch_layers(depth: float) -> Sequence[nn.Module]:
    return ()


def relative_depth(block: int, blocks: int) -> float:
    """Return 0 for the first block to 1 for the last; one that is both is the last."""
    return block / (blocks - 1) if blocks > 1 else 1.0


def branch_layers_of(config: TrialConfig) -> BranchLayers:
    """Return what gives the regularizers' layers for a branch at relative depth 0 (first block) to 1 (last)."""
    methods = active(config)
    return lambda depth: [layer for method in methods if (layer := method.branch_layer(depth)) is not None]


class FrameNorm(nn.LayerNorm):
    """LayerNorm over the channels of each frame of `[B, C, T]`."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)
