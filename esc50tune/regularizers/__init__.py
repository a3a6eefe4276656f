"""The regularizers. A new one is a file in this folder and a line in `PLACES`."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING

from esc50tune.regularizers.base import Regularizer

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig

# The order is that in which they change a batch: single clips first, then mixtures, then targets.
PLACES = (
    "scale:Scale",
    "shift:Shift",
    "crop:Crop",
    "between_class:BetweenClass",
    "mixup:Mixup",
    "masking:TimeMask",
    "masking:FrequencyMask",
    "label_smoothing:LabelSmoothing",
    "dropout:Dropout",
    "channel_dropout:ChannelDropout",
    "drop_path:DropPath",
    "code_lm:CodeLM",
    "weight_decay:WeightDecay",
    "sam:SAM",
    "ema:EMA",
)
REGULARIZERS: list[type[Regularizer]] = [resolve_name(f"{__name__}.{place}") for place in PLACES]


def active(config: TrialConfig) -> list[Regularizer]:
    """Return the regularizers that `config` switches on, in the order in which they act."""
    return [method(config) for method in REGULARIZERS if method.is_on(config)]
