"""What a feature is: something that turns clips into what a model sees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from esc50tune.data.cache import ClipCache
from esc50tune.data.clips import Clips, ClipsInMemory

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig


class Feature(nn.Module):
    """Turns a batch of clips into `[B, channels, T']`; a module, so that its statistics travel with the weights.

    Attributes:
        Knobs: its knobs.
        from_waves: True if it is computed from waveforms [B, 1, T] in each step, so that they can be augmented; False
            if its clips were computed beforehand.
        is_fixed: True if a waveform's feature is the same in every step, with no weights and nothing drawn, and costs
            more to compute than to keep: it is computed once a trial where nothing changes the waveforms.
        channels: of what it gives.
    """

    Knobs: ClassVar[type[BaseModel]]
    from_waves: ClassVar[bool] = True
    is_fixed: ClassVar[bool] = False
    channels: int

    @classmethod
    def check(cls, config: TrialConfig) -> None:
        """Raise ValueError, naming the knobs, where they cannot be used together with the others."""

    @classmethod
    def require(cls, config: TrialConfig) -> None:
        """Raise UserError where a file that the feature needs is not there."""

    @classmethod
    def prepare(cls, config: TrialConfig, waves: ClipCache, train: tuple[int, ...]) -> ClipCache:
        """Return the clips that its batches are made of; compute them first where that is to be done beforehand."""
        return waves

    @classmethod
    def encoder(cls, config: TrialConfig) -> nn.Module:
        """Return what makes the clips of its batches of waveforms [B, 1, T], where that is done beforehand.

        Raises:
            UserError: what it needs cannot be had.
        """
        return nn.Identity()

    @classmethod
    def example(cls, config: TrialConfig, size: int, num_classes: int) -> Clips:
        """Return `size` clips of nothing, shaped as its batches are made of, to try and time a model on."""
        silence = torch.zeros(size, 1, round(config.sample_rate * config.clip_seconds))
        return ClipsInMemory(silence, torch.arange(size) % num_classes, num_classes)

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Learn statistics from the training clips."""
