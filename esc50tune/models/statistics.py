"""Statistics pooling (x-vectors, Snyder et al. 2018): mean and standard deviation over time, normed over the batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig


def statistics(stages: Iterable[Tensor]) -> Tensor:
    """Return mean and standard deviation over time of each channel of `stages`, each [B, C, T]: [B, sum of 2 C, 1]."""
    found = []
    for frames in stages:
        deviation = (frames.var(-1, correction=0) + 1e-5).sqrt()  # the root of 0 has no slope to learn by
        found += [frames.mean(-1), deviation]
    return torch.cat(found, 1)[..., None]  # the whole clip is one stretch


class StatisticsNorm(nn.BatchNorm1d):
    """Batch norm of [B, C] or [B, C, 1] that also takes a batch of one clip in training, by the running statistics."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) == 1:
            return nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


def check_pool(config: TrialConfig, knob: str) -> None:
    """Raise ValueError where a model's `knob` is to pool statistics, and there is never a second clip to norm over."""
    if getattr(config, knob) == "statistics" and config.batch_size <= config.batch_parts:
        raise ValueError(
            f"{knob} = statistics norms over a batch, or over each of its parts: batch_size ({config.batch_size}) must "
            f"be more than batch_parts ({config.batch_parts})"
        )
