"""What a model is: a classifier in two halves, frames and what is read off them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel
from torch import Tensor, nn

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig


class Model(nn.Module, ABC):
    """Turns `[B, C, T]` into logits `[B, K]`.

    Attributes:
        Knobs: its knobs.
        shrinking: those of its knobs that make fewer frames of a clip; too high, none is left.
        branches: True if it puts the regularizers' layers (dropout, drop path) into residual branches.
    """

    Knobs: ClassVar[type[BaseModel]]
    shrinking: ClassVar[tuple[str, ...]] = ()
    branches: ClassVar[bool] = False

    @classmethod
    def check(cls, config: TrialConfig) -> None:
        """Raise ValueError, naming the knobs, where they cannot be used together with the others."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: TrialConfig, in_channels: int, num_classes: int) -> Model:
        """Build the model of `config` for features of `in_channels` channels."""

    @abstractmethod
    def frames(self, x: Tensor) -> Tensor:
        """Return what the model makes of each stretch of `x` [B, C, T]: [B, C', T']."""

    @abstractmethod
    def classify(self, frames: Tensor) -> Tensor:
        """Return logits [B, K] of the clips whose frames these are."""

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.frames(x))
