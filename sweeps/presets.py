"""Presets: a budget that fits a machine, as knob values, with the words that say what they reduce."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from esc50tune.data import latents
from esc50tune.errors import UserError, nearest


@dataclass(frozen=True)
class Preset:
    """Knob values for every arm.

    Attributes:
        knobs: what it sets, its feature among it.
        for_raw, for_frames: what it sets besides on raw audio, and on features that come in frames.
        says: what it reduces or repeats, printed at the start and kept in the manifest.
        holds_out_test: False for a study that selects on the fold it reports.
    """

    name: str
    knobs: dict[str, Any]
    for_raw: dict[str, Any]
    for_frames: dict[str, Any]
    says: str
    holds_out_test: bool = True

    def for_feature(self, feature: str | None) -> dict[str, Any]:
        """Return its knob values when `feature` is used; None for its own."""
        feature = feature or self.knobs["feature"]
        rate = {"sample_rate": latents.RATE} if feature == "encodec" else {}
        return self.knobs | (self.for_raw if feature == "raw" else self.for_frames) | rate


def front(kernel: int, stride: int, downsample: int) -> dict[str, int]:
    """The ConvNeXt's stem and its stride between stages."""
    return {"convnext_stem_kernel": kernel, "convnext_stem_stride": stride, "convnext_downsample": downsample}


SEED_FRONTS = (front(16, 16, 4), front(4, 4, 2))  # the original study's, on raw audio and on EnCodec's frames


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "small",
            {
                "feature": "logmel",
                "sample_rate": 8_000,
                "logmel_bands": 64,
                "logmel_frames_per_second": 50,
                "epochs": 60,
                "batch_size": 16,
                "hifigan_channels": 16,
                "convnext_width": 16,
                "convnext_depths": [1, 1, 2, 1],
            },
            front(32, 8, 4),
            front(4, 2, 2),
            "reduced to fit two CPU cores: log-mel (64 bands, 50 frames/s) at 8 kHz instead of raw audio at 44.1 kHz, "
            "models of 1/8 (baseline) and 1/6 (ConvNeXt) of the full width, 60 epochs",
        ),
        Preset(
            "full",
            {
                "feature": "raw",
                "epochs": 100,
                "warmup_epochs": 5,
                "convnext_depths": [3, 3, 9, 3],
            },
            *SEED_FRONTS,
            "full size: raw audio at 44.1 kHz, full width, 100 epochs",
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
                "label_smoothing": 0.1,
                "dropout": 0.1,
                "channel_dropout": 0.1,
                "convnext_form": "seed",
                "convnext_width": 64,
                "convnext_depths": [3, 3, 3, 3],
                "convnext_kernel": 49,
            },
            *SEED_FRONTS,
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
