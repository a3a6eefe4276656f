"""How many trials an hour a device trains, with one of them at a time, and with several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from bench.base import Options, Outcome
from bench.study import CLASSES, TRAINED, study_config
from esc50tune.config import TrialConfig
from sweeps.arms import make_arms
from sweeps.packing import clips_a_second
from sweeps.presets import PRESETS
from sweeps.resources import this_machine
from sweeps.studies import regularization

COUNTS = (1, 2, 4, 8)
EPOCHS = 100  # of a trial


def run(options: Options) -> Outcome:
    """Measure each model once with each number of trials."""
    figures = {
        name: {str(count): measure(config, count, options.device) for count in COUNTS}
        for name, config in models(options.device).items()
    }
    return outcome(figures)


def models(device: torch.device) -> dict[str, TrialConfig]:
    """Return the models that a device is tried on: the study's own, or the small preset's on a CPU."""
    if device.type == "cuda":
        names = ("convnext-raw", "convnext-encodec", "causal-lm")
        return {name: study_config(name, device, precision="auto") for name in names}
    return small_models()


def small_models(names: Sequence[str] = ("baseline", "convnext")) -> dict[str, TrialConfig]:
    """Return arms of the small preset, its two models where none are named."""
    base = {"clip_seconds": 5.0, "encodec_weights": "pretrained"}
    arms = make_arms(regularization(), names, PRESETS["small"], base, {})
    return {f"{arm.name}, small": arm.config({}, seed=0) for arm in arms}


def measure(config: TrialConfig, count: int, device: torch.device) -> float:
    """Return the clips a second of `count` trials, all together; 0 where they do not fit."""
    return clips_a_second(config, CLASSES, count, device, threads=max(1, this_machine().cpus // count))


def outcome(figures: dict[str, Any]) -> Outcome:
    rows = [
        (name, *(f"{3600 * rate / (EPOCHS * TRAINED):,.1f}" for rate in rates.values()), f"{best_of(rates)}")
        for name, rates in figures.items()
    ]
    return Outcome(
        f"Packing: trials an hour of {EPOCHS} epochs of {TRAINED} clips, by how many run at a time",
        ("model", *map(str, COUNTS), "most with"),
        rows,
        (
            "Training steps on clips of nothing, each trial in a process of its own for a few seconds, with an equal",
            "part of the cores' threads; 0: they do not fit its memory. Evaluation and start-up are left out.",
        ),
        figures,
    )


def best_of(rates: dict[str, float]) -> str:
    return max(rates, key=rates.__getitem__)
