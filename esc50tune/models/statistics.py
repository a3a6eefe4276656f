"""Statistics pooling (x-vectors, Snyder et al. 2018): mean and standard deviation over time, normed over the batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def statistics(frames: Tensor) -> Tensor:
    """Return mean and standard deviation over time of frames [B, C, T]: [B, 2 C]."""
    deviation = (frames.var(-1, correction=0) + 1e-5).sqrt()  # the root of 0 has no slope to learn by
    return torch.cat([frames.mean(-1), deviation], 1)


class StatisticsNorm(nn.BatchNorm1d):
    """Batch norm of [B, C] that also takes a batch of one clip in training, by the running statistics."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) == 1:
            return nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)
