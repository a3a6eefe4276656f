"""1d ConvNeXt, as the original study wrote it (`seed`) and as it was published (`published`).

Published: Liu et al. 2022, arXiv 2201.03545, with its 7 x 7 kernels turned into 7 taps. The two forms differ in what
they normalise, where, how a branch starts, and how weights are initialised; both take every regularizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from esc50tune.knobs import knob
from esc50tune.models.base import Model
from esc50tune.models.branch import BranchLayers, FrameNorm, branch_layers_of, no_branch_layers, relative_depth
from esc50tune.models.depthwise import DepthwiseConv1d
from esc50tune.models.pointwise import PointwiseConv1d, PointwiseLinear
from esc50tune.models.statistics import StatisticsNorm, check_pool, statistics

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig


class SeedBlock(nn.Module):
    """Depthwise conv, GroupNorm(1), 1x1 to 4C, GELU, 1x1 to C, the regularizers' layers, residual."""

    def __init__(self, channels: int, kernel: int, branch_layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            DepthwiseConv1d(channels, kernel),
            nn.GroupNorm(1, channels),
            PointwiseConv1d(channels, 4 * channels),
            nn.GELU(),
            PointwiseConv1d(4 * channels, channels, contiguous=True),
            *branch_layers,
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class PublishedBlock(nn.Module):
    """Depthwise conv, LayerNorm per frame, C to 4C, GELU, 4C to C, LayerScale, the regularizers' layers, residual."""

    def __init__(self, channels: int, kernel: int, branch_layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv1d(channels, kernel)
        self.mlp = nn.Sequential(
            nn.LayerNorm(channels, eps=1e-6),
            PointwiseLinear(channels, 4 * channels),
            nn.GELU(),
            PointwiseLinear(4 * channels, channels),
        )
        self.layer_scale = nn.Parameter(torch.full((channels, 1), 1e-6))
        self.branch_layers = nn.Sequential(*branch_layers)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.mlp(self.depthwise(x).transpose(1, 2)).transpose(1, 2)
        return x + self.branch_layers(self.layer_scale * branch)


class ConvNeXt(Model):
    """1d ConvNeXt classifier, `[B, C, T]` to logits `[B, K]`.

    `seed` at its settings for raw audio (width 64, depths 3,3,3,3, kernel 49, stem 16/16, downsample 4) has
    36,595,186 parameters at 50 classes: every stage begins by downsampling and doubling the channels.
    `published`: the first stage works at the stem's width, LayerNorm stands before each downsampling, pooled frames
    pass a last LayerNorm, weights start from a normal of deviation 0.02.

    Args:
        in_channels: channels of the input.
        num_classes: number of logits.
        form: 'seed' or 'published'.
        width: channels after the stem.
        depths: blocks of each stage.
        kernel: taps of the depthwise convolutions (odd).
        stem: kernel and stride of the first convolution.
        downsample: kernel and stride between stages.
        pool: 'mean' over the last stage's frames, or 'statistics': mean and standard deviation over those of every
            stage, each normed over the batch (x-vectors, Snyder et al. 2018, which take those of one layer).
        branch_layers: gives the layers to put at the end of the branch at a relative depth (0 first, 1 last block).
    """

    branches = True
    shrinking = ("convnext_stem_kernel", "convnext_stem_stride", "convnext_downsample")

    class Knobs(BaseModel):
        convnext_form: Literal["seed", "published"] = knob(
            "published", "the original study's ConvNeXt or the published one", source="arXiv 2201.03545"
        )
        convnext_width: int = knob(
            96, "channels after the stem; they double at each stage", source="96 in ConvNeXt-T, 64 seed", ge=4, le=1024
        )
        convnext_depths: tuple[Annotated[int, Field(ge=1, le=64)], ...] = knob(
            (3, 3, 9, 3), "blocks of each stage", source="ConvNeXt-T; 3,3,3,3 seed", min_length=1, max_length=6
        )
        convnext_kernel: int = knob(
            7, "taps of the depthwise convolutions, odd", unit="frames", source="ConvNeXt; 49 seed", ge=1, le=201
        )
        convnext_stem_kernel: int = knob(
            4, "taps of the first convolution", unit="frames", source="ConvNeXt 4; 16 seed on raw audio", ge=1, le=4096
        )
        convnext_stem_stride: int = knob(
            4,
            "stride of the first convolution",
            unit="frames",
            source="ConvNeXt 4; 16 seed on raw audio",
            ge=1,
            le=1024,
        )
        convnext_downsample: int = knob(
            2, "stride between stages", unit="frames", source="ConvNeXt 2; 4 seed on raw audio", ge=1, le=16
        )
        convnext_pool: Literal["mean", "statistics"] = knob(
            "mean",
            "classify from the mean of the last stage's frames, or from mean and standard deviation of every stage's",
            source="mean in both ConvNeXts; statistics, normed over the batch: x-vectors",
        )

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        form: Literal["seed", "published"] = "published",
        width: int = 96,
        depths: Sequence[int] = (3, 3, 9, 3),
        kernel: int = 7,
        stem: tuple[int, int] = (4, 4),
        downsample: int = 2,
        pool: Literal["mean", "statistics"] = "mean",
        branch_layers: BranchLayers = no_branch_layers,
    ) -> None:
        super().__init__()
        seed = form == "seed"
        block, norm = (SeedBlock, lambda c: nn.GroupNorm(1, c)) if seed else (PublishedBlock, FrameNorm)
        stem_kernel, stem_stride = stem
        layers: list[nn.Module] = [
            nn.Conv1d(in_channels, width, stem_kernel, stem_stride, (stem_kernel - stem_stride + 1) // 2),
            norm(width),
        ]
        done = 0
        self.stage_ends: dict[int, int] = {}  # channels of each stage, by the place of its last block in the trunk
        for stage, depth in enumerate(depths):
            if seed:
                layers += [nn.Conv1d(width, 2 * width, downsample, downsample), norm(2 * width)]
            elif stage > 0:
                layers += [norm(width), nn.Conv1d(width, 2 * width, downsample, downsample)]
            width *= 2 if seed or stage > 0 else 1
            layers += [block(width, kernel, branch_layers(relative_depth(done + i, sum(depths)))) for i in range(depth)]
            done += depth
            self.stage_ends[len(layers) - 1] = width
        self.trunk = nn.Sequential(*layers)
        self.pool = pool
        if pool == "statistics":
            size = 2 * sum(self.stage_ends.values())
            self.head = nn.Sequential(StatisticsNorm(size), nn.Linear(size, num_classes))
        elif seed:
            self.head = nn.Linear(width, num_classes)
        else:
            self.head = nn.Sequential(nn.LayerNorm(width, eps=1e-6), nn.Linear(width, num_classes))
        if not seed:
            self.apply(initialise_as_published)

    @classmethod
    def check(cls, config: TrialConfig) -> None:
        kernel, stride = config.convnext_stem_kernel, config.convnext_stem_stride
        if config.convnext_kernel % 2 == 0:
            raise ValueError(f"convnext_kernel must be odd, not {config.convnext_kernel}")
        if kernel < stride:
            raise ValueError(f"convnext_stem_kernel ({kernel}) must be at least convnext_stem_stride ({stride})")
        check_pool(config, "convnext_pool")

    @classmethod
    def from_config(cls, config: TrialConfig, in_channels: int, num_classes: int) -> ConvNeXt:
        return cls(
            in_channels,
            num_classes,
            config.convnext_form,
            config.convnext_width,
            config.convnext_depths,
            config.convnext_kernel,
            (config.convnext_stem_kernel, config.convnext_stem_stride),
            config.convnext_downsample,
            config.convnext_pool,
            branch_layers_of(config),
        )

    def frames(self, x: Tensor) -> Tensor:
        stem, length = self.trunk[0].kernel_size[0], x.shape[-1]
        if length < stem:  # padding would let it through
            raise RuntimeError(f"convnext_stem_kernel is {stem}, the clip has {length} samples or frames")
        if self.pool == "mean":
            return self.trunk(x)
        stages = []
        for place, layer in enumerate(self.trunk):
            x = layer(x)
            if place in self.stage_ends:
                stages.append(x)
        return statistics(stages)

    def classify(self, frames: Tensor) -> Tensor:
        """Return logits [B, K] for `frames` [B, C, T].

        The seed applies a 1x1 convolution to each frame and then takes the mean; both are linear, so the mean comes
        first here: the same parameters, the same logits, less work.
        """
        return self.head(frames.mean(-1))


def initialise_as_published(module: nn.Module) -> None:
    """Weights of convolutions and linear layers from a normal of deviation 0.02 cut at 2 units, biases 0."""
    if isinstance(module, nn.Conv1d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
