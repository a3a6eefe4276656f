"""The waveform itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import BaseModel
from torch import Tensor, nn

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig


class Raw(nn.Module):
    """Passes waveforms [B, 1, T] on as they are, unscaled, as the original study does."""

    class Knobs(BaseModel):
        pass

    channels = 1

    def __init__(self, config: TrialConfig) -> None:
        super().__init__()

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Learn nothing from the training clips."""

    def forward(self, waves: Tensor) -> Tensor:
        return waves
