"""A feature and a model in one module: waveforms in, logits out."""

from __future__ import annotations

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


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def build_classifier(config: TrialConfig, num_classes: int) -> Classifier:
    """Build the classifier of `config`.

    Raises:
        UserError: the knobs cannot be built together.
    """
    try:
        return Classifier(config, num_classes)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"model '{config.model}' on feature '{config.feature}' cannot be built: {error}") from error
