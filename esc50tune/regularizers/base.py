"""What a regularizer may do to a trial. Each method overrides the hooks it needs; the others do nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from pydantic import BaseModel
from torch import Tensor, nn

from esc50tune.data.batch import Batch

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig
    from esc50tune.models.base import Model


class Auxiliary(NamedTuple):
    """A task besides the classification: what it adds to the loss, and figures [B] to report of the clips."""

    loss: Tensor
    figures: dict[str, Tensor]


class Regularizer:
    """One method.

    Attributes:
        name: its name, also that of its arm in a sweep.
        Knobs: its knobs. Off, it changes no bit of a run.
        on: the knob values that its arm in a sweep starts from.
        wave_knobs: those of its knobs that change waveforms in a way that cannot be done to features made beforehand.
        only_targets: True if its `on_batch` neither changes the clips nor looks at them.
        copies: of the weights that it keeps in a checkpoint.
    """

    name: ClassVar[str]
    Knobs: ClassVar[type[BaseModel]]
    on: ClassVar[dict[str, float]]
    wave_knobs: ClassVar[tuple[str, ...]] = ()
    only_targets: ClassVar[bool] = False
    copies: ClassVar[int] = 0

    def __init__(self, config: TrialConfig) -> None:
        self.config = config

    @classmethod
    def is_on(cls, config: TrialConfig) -> bool:
        """Tell whether any of its knobs differs from 0 (off)."""
        return any(getattr(config, name) != 0 for name in cls.Knobs.model_fields)

    @classmethod
    def check(cls, config: TrialConfig) -> None:
        """Raise ValueError, naming the knobs, where they cannot be used together with the others."""

    @property
    def views(self) -> int:
        """Of each clip, how many `on_eval` returns."""
        return 1

    def branch_layer(self, depth: float) -> nn.Module | None:
        """Return a layer for the end of a residual branch at relative `depth` (0 first block, 1 last), or None."""
        return None

    def on_batch(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Change a training batch: waveforms, or features made beforehand, and targets."""
        return batch

    def on_features(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        """Change a training batch's features [B, C, T']; on raw audio they are the waves."""
        return x

    def on_eval(self, batch: Batch) -> Batch:
        """Return `views` of each clip, in the order of the clips; their probabilities are averaged."""
        return batch

    def auxiliary(self, model: Model, frames: Tensor, batch: Batch) -> Auxiliary | None:
        """Return a further task on the model's frames [B, C, T'], in training and at evaluation, or None."""
        return None

    def parameter_groups(self, model: nn.Module, groups: list[dict]) -> list[dict]:
        """Change the optimizer's parameter groups."""
        return groups

    def wrap_optimizer(self, optimizer: Any, classifier: nn.Module) -> Any:
        """Return what takes the steps: something with the optimizer's `step(closure)`, state and parameter groups."""
        return optimizer

    def start(self, classifier: nn.Module) -> None:
        """See the classifier before its first step."""

    def after_step(self, classifier: nn.Module) -> None:
        """See the classifier after each step."""

    def evaluated(self, classifier: nn.Module) -> nn.Module:
        """Return the classifier to evaluate."""
        return classifier

    def state_dict(self) -> dict[str, Any]:
        """Return what it must remember from one epoch to the next: tensors and plain values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what it remembered."""
