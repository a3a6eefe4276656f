"""The waveform itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel
from torch import Tensor

from esc50tune.features.base import Feature

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig


class Raw(Feature):
    """Passes waveforms [B, 1, T] on as they are, unscaled, as the original study does."""

    class Knobs(BaseModel):
        pass

    channels = 1

    def __init__(self, config: TrialConfig) -> None:
        super().__init__()

    def forward(self, waves: Tensor) -> Tensor:
        return waves
