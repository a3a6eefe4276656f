"""The baseline: the discriminator of HiFi-GAN (Kong et al. 2020, arXiv 2010.05646) used as a classifier."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from esc50tune.knobs import knob
from esc50tune.models.base import Model
from esc50tune.models.statistics import StatisticsNorm, check_pool, statistics

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig


class HiFiGANClassifier(Model):
    """HiFi-GAN scale discriminator with one output channel a class; logits are its last output's mean over time.

    A first convolution (15 taps), five strided grouped ones (41 taps), one of 5 and one of 3 taps, all with weight
    norm, LeakyReLU(0.1) between them. It hears 0.34 s at a time at 44.1 kHz: a bag of local votes.

    On raw audio (one input channel) `downsample_scales` are [4, 4, 4, 4, 1] as in the original study: 10,024,932
    parameters at 50 classes and a last output of `[B, 50, 862]` for 5 s at 44.1 kHz. On features (as many input
    channels as the feature has) they are [2, 2, 1, 1, 1], since a frame already stands for hundreds of samples.

    Args:
        in_channels: channels of the input.
        num_classes: number of logits.
        channels: channels of the first layer; they double at each strided layer after the first, up to 8 times.
        pool: 'mean' of the last layer's votes, or 'statistics': instead of that layer, a linear one on mean and
            standard deviation over time of all others, each normed over the batch (x-vectors, Snyder et al. 2018,
            which take those of one layer).
    """

    class Knobs(BaseModel):
        hifigan_channels: int = knob(
            128,
            "channels of the baseline's first layer; the last has 8 times as many",
            source="ParallelWaveGAN's default 128",
            ge=4,
            le=1024,
            multiple_of=4,
        )
        hifigan_pool: Literal["mean", "statistics"] = knob(
            "mean",
            "take the mean of the last layer's votes, or classify from mean and standard deviation of every layer",
            source="mean: seed; statistics, normed over the batch: x-vectors",
        )

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: int = 128,
        pool: Literal["mean", "statistics"] = "mean",
    ) -> None:
        super().__init__()
        scales = [4, 4, 4, 4, 1] if in_channels == 1 else [2, 2, 1, 1, 1]
        widest = 8 * channels
        layers = [conv(in_channels, channels, 15)]
        width, next_width, groups = channels, channels, 4
        for scale in scales:
            layers.append(conv(width, next_width, 41, stride=scale, groups=groups))
            width, next_width = next_width, min(2 * next_width, widest)
            groups = math.gcd(min(4 * groups, 16, channels), channels)  # every layer's channels divide by it
        layers.append(conv(width, next_width, 5))
        self.layers = nn.ModuleList(layers)
        self.pool = pool
        if pool == "statistics":
            size = 2 * sum(layer.out_channels for layer in layers)
            self.last = nn.Sequential(StatisticsNorm(size), nn.Conv1d(size, num_classes, 1))
        else:
            self.last = conv(next_width, num_classes, 3)
        self.activation = nn.LeakyReLU(0.1)

    @classmethod
    def check(cls, config: TrialConfig) -> None:
        check_pool(config, "hifigan_pool")

    @classmethod
    def from_config(cls, config: TrialConfig, in_channels: int, num_classes: int) -> HiFiGANClassifier:
        return cls(in_channels, num_classes, config.hifigan_channels, config.hifigan_pool)

    def frames(self, x: Tensor) -> Tensor:
        outputs = []
        for layer in self.layers:
            x = self.activation(layer(x))
            if self.pool == "statistics":
                outputs.append(x)
        return statistics(outputs) if outputs else x

    def classify(self, frames: Tensor) -> Tensor:
        return self.last(frames).mean(-1)


def conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    """A weight-normed convolution that keeps the length but for its stride (odd kernels)."""
    return weight_norm(nn.Conv1d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups))
