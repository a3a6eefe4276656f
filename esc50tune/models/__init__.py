"""The models. A new one is a file in this folder and a line in `MODELS`."""

from __future__ import annotations

from esc50tune.models.base import Model
from esc50tune.models.causal import CausalConvNeXt
from esc50tune.models.convnext import ConvNeXt
from esc50tune.models.hifigan import HiFiGANClassifier

MODELS: dict[str, type[Model]] = {
    "hifigan": HiFiGANClassifier,
    "convnext": ConvNeXt,
    "causal": CausalConvNeXt,
}
