"""Random crops in training and several evenly spaced ones at evaluation, as all raw-audio classifiers that do well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import BaseModel

from esc50tune.data.batch import Batch
from esc50tune.data.sending import send
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
                f"crop_seconds ({config.crop_seconds:g}) is longer than clip_seconds ({config.clip_seconds:g}): "
                "lower the one or raise the other"
            )

    @property
    def views(self) -> int:
        return self.config.crop_views

    def lengths(self, batch: Batch) -> tuple[int, int]:
        """Return a clip's and a crop's samples, or frames of features made beforehand."""
        whole = batch.waves.shape[-1]
        return whole, max(1, round(whole * self.config.crop_seconds / self.config.clip_seconds))

    def on_batch(self, batch: Batch, rng: np.random.Generator) -> Batch:
        whole, length = self.lengths(batch)
        start = send(rng.integers(0, whole - length, len(batch), endpoint=True), batch.waves.device)
        return batch.over_time(start[:, None] + torch.arange(length, device=start.device))

    def on_eval(self, batch: Batch) -> Batch:
        whole, length = self.lengths(batch)
        start = torch.linspace(0, whole - length, self.config.crop_views, dtype=torch.float64).round().long()
        return batch.views(send(start[:, None] + torch.arange(length), batch.waves.device))
