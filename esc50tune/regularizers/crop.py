"""Random crops in training and several evenly spaced ones at evaluation, as all raw-audio classifiers that do well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor

from esc50tune.knobs import knob
from esc50tune.regularizers.base import Regularizer

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig


class Crop(Regularizer):
    """Trains on a random part of each clip; at evaluation averages the probabilities of `crop_views` parts."""

    name = "crop"
    on = {"crop_seconds": 1.5}

    class Knobs(BaseModel):
        crop_seconds: float = knob(
            0.0,
            "length of the crops; 0 trains on whole clips",
            unit="s",
            source="between-class learning and ACDNet: 1.5 s",
            ge=0.0,
            le=60.0,
        )
        crop_views: int = knob(
            10, "crops of a clip at evaluation", source="between-class learning and ACDNet: 10", ge=1, le=100
        )

    @classmethod
    def is_on(cls, config: TrialConfig) -> bool:
        return config.crop_seconds > 0.0

    @classmethod
    def check(cls, config: TrialConfig) -> None:
        if config.crop_seconds > config.clip_seconds:
            raise ValueError(
                f"crop_seconds ({config.crop_seconds:g}) is longer than clip_seconds ({config.clip_seconds:g})"
            )

    def length(self, waves: Tensor) -> int:
        """Return a crop's samples, or frames of features made beforehand."""
        return max(1, round(waves.shape[-1] * self.config.crop_seconds / self.config.clip_seconds))

    def on_batch(self, waves: Tensor, targets: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        length = self.length(waves)
        start = rng.integers(0, waves.shape[-1] - length, len(waves), endpoint=True)
        index = torch.from_numpy(start).to(waves.device)[:, None, None] + torch.arange(length, device=waves.device)
        return waves.gather(-1, index.expand(-1, waves.shape[1], -1)), targets

    def on_eval(self, waves: Tensor) -> Tensor:
        length = self.length(waves)
        starts = np.rint(np.linspace(0, waves.shape[-1] - length, self.config.crop_views)).astype(int)
        views = torch.stack([waves[..., start : start + length] for start in starts], dim=1)
        return views.flatten(0, 1)
