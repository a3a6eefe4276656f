"""Channel dropout: whole channels of a clip are zeroed (Tompson et al. 2015, arXiv 1411.4280)."""

from __future__ import annotations

from pydantic import BaseModel
from torch import nn

from esc50tune.knobs import Search, knob
from esc50tune.regularizers.base import Regularizer


class ChannelDropout(Regularizer):
    """Zeroes whole channels, which neighbouring frames cannot make up for."""

    name = "channel-dropout"
    on = {"channel_dropout": 0.1}

    class Knobs(BaseModel):
        channel_dropout: float = knob(
            0.0,
            "probability that a channel of a ConvNeXt branch is zeroed for the whole clip",
            source="range: as dropout's; default when on: the original study's .1 on raw audio, coupled to dropout",
            search=Search(0.05, 0.5),
            ge=0.0,
            lt=1.0,
        )

    def branch_layer(self, depth: float) -> nn.Module:
        return nn.Dropout1d(self.config.channel_dropout)
