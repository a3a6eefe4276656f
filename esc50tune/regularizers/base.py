"""What a regularizer may do to a trial. Each method overrides the hooks it needs; the others do nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import BaseModel
from torch import Tensor, nn

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig


class Regularizer:
    """One method.

    Attributes:
        name: its name, also that of its arm in a sweep.
        Knobs: its knobs; with all of them at 0 it is off and changes no bit of a run.
        on: the knob values that its arm in a sweep starts from.
    """

    name: ClassVar[str]
    Knobs: ClassVar[type[BaseModel]]
    on: ClassVar[dict[str, float]]

    def __init__(self, config: TrialConfig) -> None:
        self.config = config

    @classmethod
    def is_on(cls, config: TrialConfig) -> bool:
        """Tell whether any of its knobs differs from 0 (off)."""
        return any(getattr(config, name) != 0 for name in cls.Knobs.model_fields)

    def branch_layer(self, depth: float) -> nn.Module | None:
        """Return a layer for the end of a residual branch at relative `depth` (0 first block, 1 last), or None."""
        return None

    def on_batch(self, waves: Tensor, targets: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Change a training batch: waves [B, 1, T] in -1..1, targets [B, K] as probabilities."""
        return waves, targets

    def parameter_groups(self, model: nn.Module, groups: list[dict]) -> list[dict]:
        """Change the optimizer's parameter groups."""
        return groups
