"""A feature and a model in one module: waveforms in, logits out."""

from __future__ import annotations

import math
from bisect import bisect_left

import torch
from torch import Tensor, nn

from esc50tune.config import TrialConfig
from esc50tune.data.batch import Batch
from esc50tune.errors import UserError
from esc50tune.features import FEATURES
from esc50tune.models import MODELS
from esc50tune.regularizers import active

LONGEST = 60.0  # seconds that a clip may have


class Classifier(nn.Module):
    """Waveforms [B, 1, T] to logits [B, K]. The feature's statistics travel with the weights."""

    def __init__(self, config: TrialConfig, num_classes: int) -> None:
        super().__init__()
        self.feature = FEATURES[config.feature](config)
        self.model = MODELS[config.model].from_config(config, self.feature.channels, num_classes)

    def inputs(self, batch: Batch) -> Tensor:
        """Return what the model sees of a batch, [B, C, T']."""
        return batch.waves if batch.is_feature else self.features(batch.waves)

    def features(self, waves: Tensor) -> Tensor:
        """Return the feature of waveforms, in single precision even under autocast: bfloat16 is for models."""
        with torch.autocast(waves.device.type, enabled=False):
            return self.feature(waves)

    def forward(self, waves: Tensor) -> Tensor:
        return self.model(self.features(waves))


def count_parameters(config: TrialConfig, num_classes: int) -> int:
    """Return the number of parameters of the model of `config`, without building a real one.

    Raises:
        UserError: the knobs cannot be built together.
    """
    try:
        _, model = sketch(config, num_classes)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"model '{config.model}' on feature '{config.feature}' cannot be built: {error}") from error
    return sum(parameter.numel() for parameter in model.parameters())


def check_clip_length(config: TrialConfig, num_classes: int) -> None:
    """Try the shapes of `config` on one silent clip, the model's without arithmetic.

    Raises:
        UserError: a clip is too short for the model, or the shapes do not fit otherwise.
    """
    fault = misfit(config, num_classes)
    if not fault:
        return
    knob = "crop_seconds" if config.crop_seconds else "clip_seconds"
    what = f"model '{config.model}' on feature '{config.feature}'"
    shrinking = MODELS[config.model].shrinking
    lower = f", or lower {', '.join(shrinking)}" if shrinking else ""
    least = shortest(config, num_classes, knob)
    if least is None and config.crop_seconds:
        check_clip_length(config.model_copy(update={"crop_seconds": 0.0}), num_classes)  # it may be the whole clips
    if least is None:
        raise UserError(f"{what} cannot take {knob} = {getattr(config, knob):g} ({fault}): change {knob}{lower}")
    clips, how = ("crops", "makes them longer") if config.crop_seconds else ("clips", "pads them with silence")
    raise UserError(
        f"{clips} of {getattr(config, knob):g} s are too short for {what}, which takes {least:g} s or more: "
        f"`--set {knob}={least:g}` {how}{lower}"
    )


def shortest(config: TrialConfig, num_classes: int, knob: str) -> float | None:
    """Return how many seconds, in tenths, `knob` must have at least for the shapes to fit; None where no more help."""
    longest = config.clip_seconds if knob == "crop_seconds" else LONGEST
    tenths = range(math.floor(10 * getattr(config, knob)) + 1, math.floor(10 * longest) + 1)
    place = bisect_left(tenths, True, key=lambda n: not misfit(config.model_copy(update={knob: n / 10}), num_classes))
    return tenths[place] / 10 if place < len(tenths) else None


def misfit(config: TrialConfig, num_classes: int) -> str:
    """Return why the shapes of `config` do not fit, in torch's words; nothing where they do."""
    feature, model = sketch(config, num_classes)
    try:
        batch = feature.example(config, 1, 1).batch([0], torch.device("cpu"))
        for method in active(config):
            batch = method.on_eval(batch)
        shape = feature(batch.waves).shape
        model.eval()(torch.empty(shape, device="meta"))
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return ""


def sketch(config: TrialConfig, num_classes: int) -> tuple[nn.Module, nn.Module]:
    """Return the feature, and the model without memory for its weights."""
    feature = FEATURES[config.feature](config)
    with torch.device("meta"):
        return feature, MODELS[config.model].from_config(config, feature.channels, num_classes)
