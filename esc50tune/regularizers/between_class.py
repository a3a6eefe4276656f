"""Between-class learning (Tokozume et al. 2018, arXiv 1711.10282): mixing by ear two clips of different classes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor

from esc50tune.data.batch import Batch
from esc50tune.data.sending import send
from esc50tune.knobs import Search, knob
from esc50tune.regularizers.base import Regularizer

WINDOW_SECONDS = 0.1
QUIETEST_DB = -80.0  # below it a clip counts as silence


class BetweenClass(Regularizer):
    """Trains on (p x_1 + (1 - p) x_2) / sqrt(p^2 + (1 - p)^2) with the targets mixed r to 1 - r, r ~ U(0, 1).

    p = 1 / (1 + 10^((G_1 - G_2) / 20) (1 - r) / r), with G the loudest A-weighted level of each clip, makes the mixture
    sound as if it were r parts of the first; the division keeps its energy.

    The paper mixes every clip, pads clips by half a crop at either end, and changes the level of the mixture (`gain_db`
    is that of each clip, before).
    """

    name = "between-class"
    on = {"between_class": 1.0}
    wave_knobs = ("between_class",)

    class Knobs(BaseModel):
        between_class: float = knob(
            0.0,
            "probability that a clip is mixed with one of another class",
            source="1 in the paper; searched below it: is less enough? (EAT-S mixes from epoch 12 on)",
            search=Search(0.3, 1.0),
            ge=0.0,
            le=1.0,
        )

    def on_batch(self, batch: Batch, rng: np.random.Generator) -> Batch:
        waves, targets, size, device = batch.waves, batch.targets, len(batch), batch.waves.device
        keys = send(rng.uniform(size=(size, size)), device)
        share = send(rng.uniform(size=size), device).to(waves.dtype)
        chosen = send(rng.uniform(size=size) < self.config.between_class, device)
        labels = targets.argmax(1)
        apart = labels[:, None] != labels[None, :]
        other = keys.masked_fill(~apart, -1.0).argmax(1)
        chosen = chosen & apart.any(1)  # a batch of one class has no partners
        level = a_weighted_level(waves, self.config.sample_rate)
        mixed, mixed_targets = mix(waves, waves[other], targets, targets[other], level, level[other], share)
        return replace(
            batch,
            waves=torch.where(chosen[:, None, None], mixed, waves),
            targets=torch.where(chosen[:, None], mixed_targets, targets),
        )


def mix(
    first: Tensor, second: Tensor, first_target: Tensor, second_target: Tensor, g1: Tensor, g2: Tensor, r: Tensor
) -> tuple[Tensor, Tensor]:
    """Mix clips [B, 1, T] and targets [B, K], `r` [B] parts of the first by ear; `g1`, `g2` [B] are levels in dB."""
    r = r.clamp(1e-6, 1.0 - 1e-6)
    p = (1.0 / (1.0 + 10.0 ** ((g1 - g2) / 20.0) * (1.0 - r) / r))[:, None, None]
    mixed = (p * first + (1.0 - p) * second) / (p.square() + (1.0 - p).square()).sqrt()
    return mixed, r[:, None] * first_target + (1.0 - r[:, None]) * second_target


def a_weighted_level(waves: Tensor, rate: int) -> Tensor:
    """Return the loudest A-weighted level [B], in dB, of half-overlapping windows of 0.1 s of `waves` [B, 1, T]."""
    window = min(1 << round(math.log2(WINDOW_SECONDS * rate)), waves.shape[-1])
    frames = waves[:, 0].float().unfold(-1, window, max(1, window // 2))
    spectrum = torch.fft.rfft(frames * torch.hann_window(window, device=waves.device))
    weights = a_weighting(torch.fft.rfftfreq(window, 1.0 / rate, device=waves.device))
    power = (spectrum.abs().square() * weights).sum(-1).amax(-1)
    return 10.0 * torch.log10(power.clamp_min(10.0 ** (QUIETEST_DB / 10.0)))


def a_weighting(frequency: Tensor) -> Tensor:
    """Return the A-weighting (IEC 61672-1) of frequencies in Hz as a factor on power; 1 at 1 kHz."""
    f2 = frequency.double().square()
    response = (12_194.0**2 * f2.square()) / (
        (f2 + 20.6**2) * ((f2 + 107.7**2) * (f2 + 737.9**2)).sqrt() * (f2 + 12_194.0**2)
    )
    return (response * 10.0 ** (2.0 / 20.0)).square().float()
