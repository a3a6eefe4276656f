"""Mean and deviation of each channel over many batches."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor


def channel_statistics(batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and deviation [C, 1] of each channel over all clips and frames of `batches` [B, C, T]."""
    count, total, squares = 0, 0.0, 0.0
    for batch in batches:
        values = batch.double()
        count += values.shape[0] * values.shape[2]
        total, squares = total + values.sum((0, 2)), squares + values.square().sum((0, 2))
    mean = total / count
    # A channel that never changes is left at 0 instead of being blown up.
    deviation = (squares / count - mean.square()).clamp_min(1e-12).sqrt()
    return mean[:, None].float(), deviation[:, None].float()
