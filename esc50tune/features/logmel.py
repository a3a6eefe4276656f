"""Log-mel spectrograms, standardised with the statistics of the training folds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

from esc50tune.features.base import Feature
from esc50tune.features.statistics import channel_statistics
from esc50tune.knobs import knob

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig


class LogMel(Feature):
    """Waveforms [B, 1, T] to log-mel [B, bands, frames], each band with mean 0 and deviation 1 over the training clips.

    The window is the power of two that holds four hops.
    """

    class Knobs(BaseModel):
        logmel_bands: int = knob(
            128, "mel bands", source="AST and PANNs: 64 to 128; EnCodec's latents have 128", ge=8, le=256
        )
        logmel_frames_per_second: int = knob(
            75, "frames of the spectrogram", unit="1/s", source="EnCodec's 75 at 24 kHz", ge=10, le=500
        )

    is_fixed = True

    def __init__(self, config: TrialConfig) -> None:
        super().__init__()
        self.hop = round(config.sample_rate / config.logmel_frames_per_second)
        window = 1 << (4 * self.hop - 1).bit_length()
        self.channels = config.logmel_bands
        self.decibel = nn.Sequential(
            MelSpectrogram(
                config.sample_rate, n_fft=window, hop_length=self.hop, n_mels=self.channels, mel_scale="slaney"
            ),
            AmplitudeToDB(),
        )
        self.register_buffer("mean", torch.zeros(self.channels, 1))
        self.register_buffer("deviation", torch.ones(self.channels, 1))

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Take mean and deviation of each band over `batches` of training waveforms [B, 1, T]."""
        mean, deviation = channel_statistics(self.level(waves) for waves in batches)
        self.mean.copy_(mean)
        self.deviation.copy_(deviation.clamp_min(1e-3))  # a band of digital silence has none

    def level(self, waves: Tensor) -> Tensor:
        """Return the level of each band and frame, in dB, not below -100.

        As many frames as EnCodec has: one for each hop begun.
        """
        return self.decibel(waves[:, 0])[..., : math.ceil(waves.shape[-1] / self.hop)]

    def forward(self, waves: Tensor) -> Tensor:
        return (self.level(waves) - self.mean) / self.deviation
