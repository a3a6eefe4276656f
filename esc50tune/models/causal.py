"""The causal ConvNeXt of the original study: an output frame sees the input frames before it, and no later one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel
from torch import Tensor, nn

from esc50tune.data.latents import CODEBOOK_SIZE, codebooks
from esc50tune.knobs import knob
from esc50tune.models.base import Model
from esc50tune.models.branch import BranchLayers, FrameNorm, branch_layers_of, no_branch_layers, relative_depth
from esc50tune.models.depthwise import DepthwiseConv1d
from esc50tune.models.pointwise import PointwiseConv1d

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig


class CausalBlock(nn.Module):
    """Depthwise conv padded on the left alone, norm, 1x1 to 4C, GELU, 1x1 to C, the regularizers' layers, residual."""

    def __init__(self, channels: int, kernel: int, norm: nn.Module, branch_layers: list[nn.Module]) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.ConstantPad1d((kernel - 1, 0), 0.0),
            DepthwiseConv1d(channels, kernel, padding="valid"),
            norm,
            PointwiseConv1d(channels, 4 * channels),
            nn.GELU(),
            PointwiseConv1d(4 * channels, channels, contiguous=True),
            *branch_layers,
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class CausalConvNeXt(Model):
    """Causal ConvNeXt classifier of frames, `[B, C, T]` to logits `[B, K]`; no stem: C channels throughout.

    The input is padded by one frame on the left, so output frame t (of T + 1) sees the input frames before t: it may
    predict EnCodec's codes of frame t. 1,377,586 parameters at 128 channels, 50 classes and the codes of 2 codebooks.

    Args:
        channels: of the input and throughout.
        num_classes: number of logits.
        blocks: how many.
        kernel: taps of the depthwise convolutions.
        norm: 'group', the original study's GroupNorm(1), takes its statistics over the whole clip, so that the future
            leaks into every frame; 'frame', LayerNorm over each frame's channels, does not.
        pool: logits from the 'last' frame, which has seen all (the original study), or from the 'mean' of all frames.
        num_codebooks: codebooks whose codes it predicts; 0 for none.
        branch_layers: gives the layers to put at the end of the branch at a relative depth (0 first, 1 last block).
    """

    branches = True

    class Knobs(BaseModel):
        causal_blocks: int = knob(8, "blocks of the causal ConvNeXt", source="seed", ge=1, le=64)
        causal_kernel: int = knob(49, "taps of its depthwise convolutions", unit="frames", source="seed", ge=1, le=201)
        causal_norm: Literal["group", "frame"] = knob(
            "frame",
            "GroupNorm(1), through which the future leaks, or LayerNorm of each frame",
            source="group in the seed",
        )
        causal_pool: Literal["last", "mean"] = knob(
            "mean", "classify from the last frame or from the mean of all frames", source="last in the seed"
        )

    def __init__(
        self,
        channels: int,
        num_classes: int,
        blocks: int = 8,
        kernel: int = 49,
        norm: Literal["group", "frame"] = "frame",
        pool: Literal["last", "mean"] = "mean",
        num_codebooks: int = 0,
        branch_layers: BranchLayers = no_branch_layers,
    ) -> None:
        super().__init__()
        self.pool, self.num_codebooks = pool, num_codebooks
        layers = [
            CausalBlock(
                channels,
                kernel,
                FrameNorm(channels) if norm == "frame" else nn.GroupNorm(1, channels),
                list(branch_layers(relative_depth(i, blocks))),
            )
            for i in range(blocks)
        ]
        self.trunk = nn.Sequential(nn.ConstantPad1d((1, 0), 0.0), *layers)
        self.head = nn.Linear(channels, num_classes)
        # Last, so that a model without it starts from the same weights.
        self.code_head = PointwiseConv1d(channels, CODEBOOK_SIZE * num_codebooks) if num_codebooks else None

    @classmethod
    def check(cls, config: TrialConfig) -> None:
        if config.feature == "raw":
            raise ValueError("model 'causal' has no stem and needs a feature of frames, not feature 'raw'")

    @classmethod
    def from_config(cls, config: TrialConfig, in_channels: int, num_classes: int) -> CausalConvNeXt:
        return cls(
            in_channels,
            num_classes,
            config.causal_blocks,
            config.causal_kernel,
            config.causal_norm,
            config.causal_pool,
            codebooks(config.encodec_bandwidth) if config.code_lm else 0,
            branch_layers_of(config),
        )

    def frames(self, x: Tensor) -> Tensor:
        """Return [B, C, T + 1] for `x` [B, C, T]."""
        return self.trunk(x)

    def classify(self, frames: Tensor) -> Tensor:
        return self.head(frames[..., -1] if self.pool == "last" else frames[..., 1:].mean(-1))

    def code_logits(self, frames: Tensor) -> Tensor:
        """Return the logits [B, T, N, 1024] of each codebook's code in each frame, seen from the frames before it."""
        return self.code_head(frames[..., :-1]).mT.unflatten(-1, (self.num_codebooks, -1))
