"""Dropout at the end of each residual branch (Srivastava et al. 2014, JMLR 15:1929)."""

from __future__ import annotations

from pydantic import BaseModel
from torch import nn

from esc50tune.knobs import Search, knob
from esc50tune.regularizers.base import Regularizer


class Dropout(Regularizer):
    """Zeroes single activations."""

    name = "dropout"
    on = {"dropout": 0.1}

    class Knobs(BaseModel):
        dropout: float = knob(
            0.0,
            "probability that an activation of a ConvNeXt branch is zeroed",
            source="range: ACDNet .2, EnvNet-v2 .5; default when on: the original study's .1 on raw audio",
            search=Search(0.05, 0.5),
            ge=0.0,
            lt=1.0,
        )

    def branch_layer(self, depth: float) -> nn.Module:
        return nn.Dropout(self.config.dropout)
