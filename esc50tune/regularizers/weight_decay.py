"""Decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101), on weights alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel
from torch import nn

from esc50tune.knobs import Search, knob
from esc50tune.regularizers.base import Regularizer

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig


class WeightDecay(Regularizer):
    """Decays matrices and kernels; norms, biases, layer scales and weight norm's magnitudes only on demand."""

    name = "weight-decay"
    on = {"weight_decay": 0.1}

    class Knobs(BaseModel):
        weight_decay: float = knob(
            0.01,
            "AdamW's weight decay",
            source="torch and seed .01, ConvNeXt .05; range and default when on, above them: our choice",
            search=Search(0.03, 1.0, log=True),
            ge=0.0,
            le=10.0,
        )
        weight_decay_norms: bool = knob(
            False, "decay norms and biases too", source="seed, as torch's AdamW does; ConvNeXt and EAT-S do not"
        )

    @classmethod
    def is_on(cls, config: TrialConfig) -> bool:
        return config.weight_decay > 0.0

    def parameter_groups(self, model: nn.Module, groups: list[dict]) -> list[dict]:
        return [
            {"params": [p for p in group["params"] if self.is_decayed(p) is decayed], "weight_decay": amount}
            for group in groups
            for decayed, amount in ((True, self.config.weight_decay), (False, 0.0))
        ]

    def is_decayed(self, parameter: nn.Parameter) -> bool:
        """Tell weights from biases, norms and scales: only the former have more than one axis longer than 1."""
        return self.config.weight_decay_norms or sum(size > 1 for size in parameter.shape) > 1
