"""What one training step is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Clips with what is to be learned of them. Regularizers return changed copies.

    Attributes:
        waves: waveforms [B, 1, T] in -1..1, or features made beforehand, [B, C, T].
        targets: [B, K], probabilities.
        codes: int64 [B, P, N, T]: N codebooks' codes of each of the P clips that a clip is mixed of; None where the
            feature has no codes.
        shares: [B, P]: how much of each of them is in it; they sum to 1.
        is_feature: whether `waves` are what the model sees, with nothing left for the feature to compute.
    """

    waves: Tensor
    targets: Tensor
    codes: Tensor | None
    shares: Tensor
    is_feature: bool = False

    @classmethod
    def of(cls, waves: Tensor, targets: Tensor, codes: Tensor | None = None, is_feature: bool = False) -> Batch:
        """Return a batch of unmixed clips; `codes` are [B, N, T]."""
        parts = None if codes is None else codes[:, None]
        return cls(waves, targets, parts, torch.ones(len(waves), 1, device=waves.device), is_feature)

    def __len__(self) -> int:
        return len(self.waves)

    def part(self, start: int, stop: int) -> Batch:
        """Return some of the clips."""
        codes = None if self.codes is None else self.codes[start:stop]
        part = slice(start, stop)
        return replace(self, waves=self.waves[part], targets=self.targets[part], codes=codes, shares=self.shares[part])

    def over_time(self, index: Tensor) -> Batch:
        """Return the samples or frames `index` [B, T'] of each clip, and their codes."""
        codes = None if self.codes is None else take(self.codes, index)
        return replace(self, waves=take(self.waves, index), codes=codes)

    def views(self, index: Tensor) -> Batch:
        """Return V views of each clip in a row: its samples or frames `index` [V, T']."""
        codes = None if self.codes is None else windows(self.codes, index)
        targets, shares = (x.repeat_interleave(len(index), 0) for x in (self.targets, self.shares))
        return replace(self, waves=windows(self.waves, index), targets=targets, codes=codes, shares=shares)

    def mixed(self, waves: Tensor, targets: Tensor, other: Tensor, share: Tensor) -> Batch:
        """Return the batch whose clips are `share` [B] of themselves and the rest of the clips number `other` [B]."""
        codes = None if self.codes is None else torch.cat([self.codes, self.codes[other]], dim=1)
        shares = torch.cat([share[:, None] * self.shares, (1.0 - share[:, None]) * self.shares[other]], dim=1)
        return replace(self, waves=waves, targets=targets, codes=codes, shares=shares)


def take(x: Tensor, index: Tensor) -> Tensor:
    """Return the places `index` [B, T'] of the last axis of `x` [B, ..., T]."""
    index = index.view(len(index), *[1] * (x.dim() - 2), -1)
    return x.gather(-1, index.expand(*x.shape[:-1], -1))


def windows(x: Tensor, index: Tensor) -> Tensor:
    """Return the places `index` [V, T'] of the last axis of `x` [B, ..., T] as [B * V, ..., T']."""
    return x[..., index].movedim(-2, 1).flatten(0, 1)
