"""Exponential moving average of the weights (Polyak & Juditsky 1992, SIAM J. Control Optim. 30:838)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from pydantic import BaseModel
from torch import nn

from esc50tune.knobs import Search, knob
from esc50tune.regularizers.base import Regularizer


class EMA(Regularizer):
    """Evaluates an average of all weights so far; training goes on with the weights themselves.

    After step t: average = d * average + (1 - d) * weights, from the first weights on; in closed form
    d^t w_0 + (1 - d) sum_i d^(t - i) w_i. Batch norms get the statistics that the averaged weights have (`norms.py`).
    """

    name = "ema"
    on = {"ema": 0.99}
    copies = 1

    class Knobs(BaseModel):
        ema: float = knob(
            0.0,
            "share of the average that each step keeps; 0 averages nothing",
            source="EAT-S .995 over 45,000 steps, ConvNeXt .9999; default and range, 10 to 200 steps: our choice",
            search=Search(0.9, 0.995),
            ge=0.0,
            lt=1.0,
        )

    def start(self, classifier: nn.Module) -> None:
        self.average = copy.deepcopy(classifier).requires_grad_(False)

    @torch.no_grad()
    def after_step(self, classifier: nn.Module) -> None:
        average, weights = list(self.average.parameters()), list(classifier.parameters())
        torch._foreach_lerp_(average, weights, 1.0 - self.config.ema)
        for kept, latest in zip(self.average.buffers(), classifier.buffers(), strict=True):
            kept.copy_(latest)  # those of norms are taken anew before anything reads them

    def evaluated(self, classifier: nn.Module) -> nn.Module:
        return self.average

    def state_dict(self) -> dict[str, Any]:
        return self.average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.load_state_dict(state)
