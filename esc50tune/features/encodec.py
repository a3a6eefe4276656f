"""EnCodec's encoder output before quantisation (Défossez et al. 2022, arXiv 2210.13438)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from esc50tune.data import latents
from esc50tune.data.cache import ClipCache
from esc50tune.data.clips import Clips, ClipsInMemory
from esc50tune.features.base import Feature
from esc50tune.features.statistics import channel_statistics
from esc50tune.knobs import knob

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig


class Encodec(Feature):
    """Latents [B, 128, 375] of clips of 5 s at 24 kHz, computed once and read from the disk."""

    class Knobs(BaseModel):
        encodec_weights: str = knob(
            "pretrained", "EnCodec's weights: pretrained, untrained (a control), or a file", source="seed: pretrained"
        )
        encodec_bandwidth: float = knob(
            1.5,
            "bandwidth of the codes; 2 codebooks at 1.5",
            unit="kbit/s",
            source="seed",
            choices=latents.BANDWIDTHS,
        )
        encodec_standardise: bool = knob(
            False, "give each channel mean 0 and deviation 1 over the training folds", source="seed: as they are"
        )

    from_waves = False
    channels = 128

    def __init__(self, config: TrialConfig) -> None:
        super().__init__()
        self.standardise = config.encodec_standardise
        self.register_buffer("mean", torch.zeros(self.channels, 1))
        self.register_buffer("deviation", torch.ones(self.channels, 1))

    @classmethod
    def check(cls, config: TrialConfig) -> None:
        if config.sample_rate != latents.RATE:
            raise ValueError(f"feature 'encodec' needs sample_rate={latents.RATE}, not {config.sample_rate}")

    @classmethod
    def require(cls, config: TrialConfig) -> None:
        latents.check_weights(config.encodec_weights)

    @classmethod
    def prepare(cls, config: TrialConfig, waves: ClipCache, train: tuple[int, ...]) -> ClipCache:
        return latents.open_latents(waves, config.encodec_weights, config.encodec_bandwidth, train)

    @classmethod
    def encoder(cls, config: TrialConfig) -> nn.Module:
        return latents.load_encoder(config.encodec_weights)

    @classmethod
    def example(cls, config: TrialConfig, size: int, num_classes: int) -> Clips:
        frames = math.ceil(config.sample_rate * config.clip_seconds / latents.HOP)
        codes = torch.zeros(size, latents.codebooks(config.encodec_bandwidth), frames, dtype=torch.long)
        return ClipsInMemory(
            torch.zeros(size, cls.channels, frames), torch.arange(size) % num_classes, num_classes, codes
        )

    def fit(self, batches: Iterable[Tensor]) -> None:
        if self.standardise:
            mean, deviation = channel_statistics(batches)
            self.mean.copy_(mean)
            self.deviation.copy_(deviation)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.deviation
