"""Decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101), on weights alone."""

from __future__ import annotations

from pydantic import BaseModel
from torch import nn

from esc50tune.knobs import Search, knob
from esc50tune.regularizers.base import Regularizer


class WeightDecay(Regularizer):
    """Decays matrices and kernels; norms, biases, layer scales and weight norm's magnitudes are left alone."""

    name = "weight-decay"
    on = {"weight_decay": 0.1}

    class Knobs(BaseModel):
        weight_decay: float = knob(
            0.01,
            "AdamW's weight decay; not on norms and biases",
            source="torch's default and the original study's .01; ConvNeXt .05",
            search=Search(0.03, 1.0, log=True),
            ge=0.0,
            le=10.0,
        )

    def parameter_groups(self, model: nn.Module, groups: list[dict]) -> list[dict]:
        return [
            {"params": [p for p in group["params"] if is_decayed(p) is decayed], "weight_decay": amount}
            for group in groups
            for decayed, amount in ((True, self.config.weight_decay), (False, 0.0))
        ]


def is_decayed(parameter: nn.Parameter) -> bool:
    """Tell weights from biases, norms and scales: only the former have more than one axis longer than 1."""
    return sum(size > 1 for size in parameter.shape) > 1
