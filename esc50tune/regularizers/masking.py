"""Time and frequency masking, after SpecAugment (Park et al. 2019, arXiv 1904.08779)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor

from esc50tune.data.sending import send
from esc50tune.knobs import Search, knob
from esc50tune.regularizers.base import Regularizer

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig


class TimeMask(Regularizer):
    """Silences a stretch of raw audio; on features sets frames to 0, the mean of a standardised band."""

    name = "time-mask"
    on = {"time_mask": 0.2}

    class Knobs(BaseModel):
        time_mask: float = knob(
            0.0,
            "largest share of the clip that is masked, drawn evenly from 0",
            source="AST: 96 of 512 frames; EAT-S .1 s; searched range and default when on, about AST's: our choice",
            search=Search(0.05, 0.5),
            ge=0.0,
            lt=1.0,
        )

    def on_features(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        return masked(x, 2, self.config.time_mask, rng)


class FrequencyMask(Regularizer):
    """Sets some neighbouring bands of each clip's features to 0."""

    name = "frequency-mask"
    on = {"frequency_mask": 0.2}

    class Knobs(BaseModel):
        frequency_mask: float = knob(
            0.0,
            "largest share of the bands that is masked, drawn evenly from 0; features only",
            source="AST: 24 of 128 bands; searched range and default when on, about it: our choice",
            search=Search(0.05, 0.5),
            ge=0.0,
            lt=1.0,
        )

    @classmethod
    def check(cls, config: TrialConfig) -> None:
        if config.frequency_mask and config.feature == "raw":
            raise ValueError(f"frequency_mask ({config.frequency_mask:g}) needs bands, which feature 'raw' has not")

    def on_features(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        return masked(x, 1, self.config.frequency_mask, rng)


def masked(x: Tensor, axis: int, most: float, rng: np.random.Generator) -> Tensor:
    """Set a run of each clip of `x` [B, C, T] along `axis` to 0: up to `most` of it long, anywhere."""
    length = x.shape[axis]
    width = rng.uniform(0.0, most, len(x)) * length
    start = send(rng.uniform(0.0, length - width), x.device)
    end = start + send(width, x.device)
    place = torch.arange(length, device=x.device) + 0.5
    hidden = (place >= start[:, None]) & (place < end[:, None])
    return x.masked_fill(hidden[:, None, :] if axis == 2 else hidden[:, :, None], 0.0)
