"""The regularizers. A new one is a file in this folder and a line in `REGULARIZERS`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esc50tune.regularizers.base import Regularizer
from esc50tune.regularizers.between_class import BetweenClass
from esc50tune.regularizers.channel_dropout import ChannelDropout
from esc50tune.regularizers.code_lm import CodeLM
from esc50tune.regularizers.crop import Crop
from esc50tune.regularizers.drop_path import DropPath
from esc50tune.regularizers.dropout import Dropout
from esc50tune.regularizers.ema import EMA
from esc50tune.regularizers.label_smoothing import LabelSmoothing
from esc50tune.regularizers.masking import FrequencyMask, TimeMask
from esc50tune.regularizers.mixup import Mixup
from esc50tune.regularizers.sam import SAM
from esc50tune.regularizers.scale import Scale
from esc50tune.regularizers.shift import Shift
from esc50tune.regularizers.weight_decay import WeightDecay

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig

# The order is that in which they change a batch: single clips first, then mixtures, then targets.
REGULARIZERS: list[type[Regularizer]] = [
    Scale,
    Shift,
    Crop,
    BetweenClass,
    Mixup,
    TimeMask,
    FrequencyMask,
    LabelSmoothing,
    Dropout,
    ChannelDropout,
    DropPath,
    CodeLM,
    WeightDecay,
    SAM,
    EMA,
]


def active(config: TrialConfig) -> list[Regularizer]:
    """Return the regularizers that `config` switches on, in the order in which they act."""
    return [method(config) for method in REGULARIZERS if method.is_on(config)]
