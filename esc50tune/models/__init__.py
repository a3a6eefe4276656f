"""The models. A new one is a file in this folder and a line in `MODELS`."""

from __future__ import annotations

from esc50tune.models.convnext import ConvNeXt
from esc50tune.models.hifigan import HiFiGANClassifier

# Each has `Knobs` and `from_config(config, in_channels, num_classes)`, and turns [B, C, T] into logits [B, K].
MODELS = {
    "hifigan": HiFiGANClassifier,
    "convnext": ConvNeXt,
}
