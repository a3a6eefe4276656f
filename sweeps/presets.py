"""Presets: a budget that fits a machine, as knob values, with the words that say what they reduce."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from esc50tune.data import latents
from esc50tune.errors import UserError, nearest

Knobs = dict[str, Any]


@dataclass(frozen=True)
class Preset:
    """Knob values for every arm.

    Attributes:
        knobs: what it sets, its feature among it.
        for_raw, for_frames, for_causal: what it sets besides on raw audio, on features that come in frames, and of
            those for the causal ConvNeXt.
        for_architectures: what it sets besides in the study of architectures.
        says: what it reduces or repeats in every arm, printed at the start and kept in the manifest.
        says_where: the same of arms that have certain knob values, with those values.
        holds_out_test: False for a study that selects on the fold it reports.
    """

    name: str
    knobs: Knobs
    for_raw: Knobs
    for_frames: Knobs
    for_causal: Knobs
    says: str
    says_where: tuple[tuple[str, Knobs], ...] = ()
    for_architectures: Knobs = field(default_factory=dict)
    holds_out_test: bool = True

    def for_arm(self, study: str, model: str, feature: str | None) -> Knobs:
        """Return its knob values for a model on a feature; None for its own feature."""
        feature = feature or self.knobs["feature"]
        knobs = self.knobs | (self.for_raw if feature == "raw" else self.for_frames)
        knobs |= self.for_causal if model == "causal" else {}
        knobs |= self.for_architectures if study == "architectures" else {}
        return knobs | ({"sample_rate": latents.RATE} if feature == "encodec" else {})

    def describe(self, arms: Iterable[Knobs], settings: Knobs) -> str:
        """Say what it does to sweeps of `arms`, given by their knob values, and what `settings` change besides."""
        arms = list(arms)
        told = [(words, knobs) for words, knobs in self.says_where if any(knobs.items() <= arm.items() for arm in arms)]
        changed = [
            f"{knob}={str(value).rpartition(os.sep)[2]}"
            for knob, value in settings.items()
            if not any(knob in knobs for _, knobs in told)
        ]
        parts = [self.says, *(words for words, _ in told)]
        return "; ".join(parts + (["but " + ", ".join(changed)] if changed else []))


def front(kernel: int, stride: int, downsample: int) -> Knobs:
    """The ConvNeXt's stem and its stride between stages."""
    return {"convnext_stem_kernel": kernel, "convnext_stem_stride": stride, "convnext_downsample": downsample}


SEED_FRONTS = (front(16, 16, 4), front(4, 4, 2))  # the original study's, on raw audio and on EnCodec's frames

# Models and log-mel that two CPU cores train in a minute or two.
SMALL = {
    "feature": "logmel",
    "logmel_bands": 64,
    "logmel_frames_per_second": 50,
    "batch_size": 16,
    "hifigan_channels": 16,
    "convnext_width": 16,
    "convnext_depths": [1, 1, 2, 1],
}
SMALL_FRONTS = (front(32, 8, 4), front(4, 2, 2))  # on raw audio and on frames

# As log-mel is; an untrained encoder's channels differ from each other far more than any of them varies.
STANDARDISED = {"encodec_standardise": True}


def dropouts(rate: float) -> Knobs:
    """The original study's two dropouts, coupled."""
    return {"dropout": rate, "channel_dropout": rate}


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "small",
            SMALL | {"sample_rate": 8_000, "epochs": 60},
            SMALL_FRONTS[0] | {"crop_seconds": 1.5, "crop_views": 3},
            SMALL_FRONTS[1] | STANDARDISED,
            {"causal_blocks": 2},
            "reduced to fit two CPU cores: models of 1/8 (baseline) and 1/6 of the full width (ConvNeXt, with 5 of 18 "
            "blocks)",
            (
                ("log-mel (64 bands, 50 frames/s) at 8 kHz", {"feature": "logmel", "sample_rate": 8_000}),
                ("raw audio in crops of 1.5 s", {"feature": "raw", "crop_seconds": 1.5}),
                ("raw audio in whole clips, no crops", {"feature": "raw", "crop_seconds": 0}),
                ("2 causal blocks instead of 8", {"model": "causal", "causal_blocks": 2}),
                ("60 epochs", {"epochs": 60}),
                ("40 epochs", {"epochs": 40}),
            ),
            # Raw audio takes two cores long. Regularizers need their epochs, or they look worse than they are.
            for_architectures={"epochs": 40},
        ),
        Preset(
            "full",
            {
                "feature": "raw",
                "epochs": 100,
                "warmup_epochs": 5,
                "convnext_depths": [3, 3, 9, 3],
            },
            SEED_FRONTS[0],
            SEED_FRONTS[1] | STANDARDISED,
            {},
            "full width, 100 epochs",
        ),
        Preset(
            "best",
            SMALL
            | {
                "sample_rate": 22_050,
                "epochs": 400,
                "hifigan_pool": "statistics",
                "convnext_pool": "statistics",
                "convnext_width": 32,
                "dropout": 0.2,
                "drop_path": 0.2,
                "scale": 1.2,
                "between_class": 0.5,
            },
            SMALL_FRONTS[0],
            SMALL_FRONTS[1] | STANDARDISED,
            {"causal_blocks": 2},
            "chosen by hand for the ConvNeXt on log-mel, on ESC-10's folds 1 to 4 (docs/study has its result): small "
            "models, statistics pooling, 400 epochs; in the ConvNeXt dropout and drop path",
            (
                ("log-mel (64 bands, 50 frames/s) at 22.05 kHz", {"feature": "logmel", "sample_rate": 22_050}),
                ("speed and pitch changed by up to 1.2 times", {"scale": 1.2}),
                ("half of the clips mixed by ear with one of another class", {"between_class": 0.5}),
            ),
        ),
        Preset(
            "seed",
            {
                "feature": "raw",
                "epochs": 100,
                "lr": 1e-4,
                "schedule": "constant",
                "precision": "fp32",
                "weight_decay": 0.01,
                "weight_decay_norms": True,
                "label_smoothing": 0.1,
                "convnext_form": "seed",
                "convnext_kernel": 49,
                "causal_norm": "group",
                "causal_pool": "last",
                "code_smoothing": 0.1,
            },
            SEED_FRONTS[0] | dropouts(0.1) | {"batch_size": 16, "convnext_width": 64, "convnext_depths": [3, 3, 3, 3]},
            SEED_FRONTS[1] | dropouts(0.25) | {"batch_size": 64, "convnext_width": 256, "convnext_depths": [3, 3]},
            dropouts(0.05) | {"sam_rho": 0.05, "sam_masks": "different"},
            "the original study's settings: it selects on the fold that it reports, so it has NO TEST FOLD and its "
            "figures are optimistic; its runs of up to 10,000 epochs, stopped by hand, are 100 epochs here",
            holds_out_test=False,
        ),
    )
}


def find_preset(name: str | None, has_gpu: bool) -> Preset:
    """Return the preset called `name`; without a name, `full` where there is a GPU and `small` where there is none.

    Raises:
        UserError: no preset has that name.
    """
    name = name or ("full" if has_gpu else "small")
    if name not in PRESETS:
        raise UserError(f"no preset is called '{name}'{nearest(name, PRESETS)}")
    return PRESETS[name]
