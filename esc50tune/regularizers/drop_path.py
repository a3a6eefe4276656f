"""Drop path, also called stochastic depth (Huang et al. 2016, arXiv 1603.09382), as ConvNeXt uses it."""

from __future__ import annotations

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from esc50tune.knobs import Search, knob
from esc50tune.regularizers.base import Regularizer


class DropPathLayer(nn.Module):
    """Skips a clip's whole residual branch with probability `rate`; kept branches are scaled by 1 / (1 - rate)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        kept = torch.rand(x.shape[0], 1, 1, device=x.device) >= self.rate  # bfloat16 would draw multiples of 1/256
        return x * kept / (1.0 - self.rate)


class DropPath(Regularizer):
    """Drops residual branches, at a rate that grows linearly from 0 in the first block to the knob's in the last."""

    name = "drop-path"
    on = {"drop_path": 0.1}

    class Knobs(BaseModel):
        drop_path: float = knob(
            0.0,
            "probability that the last ConvNeXt block is skipped for a clip; linear in depth from 0",
            source="range: ConvNeXt's training recipe: .1 for the smallest model, .4 and .5 for larger ones",
            search=Search(0.05, 0.5),
            ge=0.0,
            lt=1.0,
        )

    def branch_layer(self, depth: float) -> nn.Module:
        return DropPathLayer(self.config.drop_path * depth)
