"""Time stretch by resampling, the 'scale' augmentation of between-class learning (arXiv 1711.10282) and ACDNet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor

from esc50tune.data.batch import Batch
from esc50tune.data.sending import send
from esc50tune.knobs import Search, knob
from esc50tune.regularizers.base import Regularizer

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig


class Scale(Regularizer):
    """Plays each clip faster or slower by scale^U(-1, 1), pitch included; of a slowed one a random part is heard."""

    name = "scale"
    on = {"scale": 1.25}
    wave_knobs = ("scale",)

    class Knobs(BaseModel):
        scale: float = knob(
            0.0,
            "largest factor by which a clip is stretched or squeezed; 0 leaves it alone",
            source="between-class learning and ACDNet: 1.25; searched range about it: our choice",
            search=Search(1.05, 1.5),
            ge=0.0,
            le=4.0,
        )

    @classmethod
    def check(cls, config: TrialConfig) -> None:
        if 0.0 < config.scale < 1.0:
            raise ValueError(f"scale ({config.scale:g}) is a factor of at least 1, or 0 for none")

    def on_batch(self, batch: Batch, rng: np.random.Generator) -> Batch:
        size, device = len(batch), batch.waves.device
        speed = send(self.config.scale ** rng.uniform(-1.0, 1.0, size), device)
        place = send(rng.uniform(size=size), device)
        return replace(batch, waves=play(batch.waves, speed, place))


def play(waves: Tensor, speed: Tensor, place: Tensor) -> Tensor:
    """Resample clips [B, 1, T] linearly to `speed` [B] times their speed, keeping T.

    `place` [B], 0 to 1, tells where: of a slowed clip which part is kept, of a quickened one where it lies in silence.
    """
    length = waves.shape[-1]
    steps = torch.arange(length, device=waves.device, dtype=torch.float64)
    # The first sample reads position `start`: inside the clip when it is slowed, before it when it is quickened.
    start = place * ((length - 1) * (1.0 - speed))
    position = start[:, None] + steps * speed[:, None]
    left = position.floor()
    share = (position - left).to(waves)[:, None]
    inside = ((position >= 0) & (position <= length - 1))[:, None]
    index = left.long().clamp(0, length - 1)[:, None]
    following = (index + 1).clamp(max=length - 1)
    return torch.where(inside, torch.lerp(waves.gather(-1, index), waves.gather(-1, following), share), 0.0)
