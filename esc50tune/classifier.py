"""A feature and a model in one module: waveforms in, logits out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from esc50tune.config import TrialConfig
from esc50tune.errors import UserError
from esc50tune.features import FEATURES
from esc50tune.models import MODELS


class Classifier(nn.Module):
    """Waveforms [B, 1, T] to logits [B, K]. The feature's statistics travel with the weights."""

    def __init__(self, config: TrialConfig, num_classes: int) -> None:
        super().__init__()
        self.feature = FEATURES[config.feature](config)
        self.model = MODELS[config.model].from_config(config, self.feature.channels, num_classes)

    def forward(self, waves: Tensor) -> Tensor:
        return self.model(self.feature(waves))


def check_classifier(config: TrialConfig, num_classes: int) -> int:
    """Return the number of parameters of the classifier of `config`, without the memory and work of a real one.

    Raises:
        UserError: the knobs cannot be built together, or a clip is too short for the model.
    """
    what = f"model '{config.model}' on feature '{config.feature}'"
    try:
        feature = FEATURES[config.feature](config)
        with torch.device("meta"):
            model = MODELS[config.model].from_config(config, feature.channels, num_classes).eval()
    except (ValueError, RuntimeError) as error:
        raise UserError(f"{what} cannot be built: {error}") from error
    try:
        clip = feature(torch.zeros(1, 1, round(config.sample_rate * config.clip_seconds)))
        model(torch.empty(clip.shape, device="meta"))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{what}: clips of {config.clip_seconds:g} s are too short for it ({reason})") from error
    return sum(parameter.numel() for parameter in model.parameters())
