"""What a trial gains where features that do not change are computed once instead of in each step."""

from __future__ import annotations

from statistics import median

import torch

from bench.base import Options, Outcome
from bench.packing import small_models
from bench.timing import alternate, ratios, shown_ratios, shown_seconds
from esc50tune.config import TrialConfig
from esc50tune.data.clips import TrialData
from esc50tune.features import FEATURES
from esc50tune.speedups import without
from esc50tune.trial import Trainer

ARMS = ("baseline", "convnext", "sam", "mixup", "crop")
TRAINED, EVALUATED, CLASSES = 240, 80, 10  # clips of an epoch of a search on ESC-10


def run(options: Options) -> Outcome:
    """Time an epoch of the small preset, on one thread as a trial of a sweep has it on a CPU."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return outcome({name: measure(config, options) for name, config in small_models(ARMS).items()})
    finally:
        torch.set_num_threads(threads)


def measure(config: TrialConfig, options: Options) -> dict[str, list[float]]:
    """Return the seconds of epochs, by side."""
    clips = [FEATURES[config.feature].example(config, count, CLASSES) for count in (TRAINED, EVALUATED)]
    once = Trainer(config, TrialData(*clips), options.device)
    with without("features"):
        always = Trainer(config, TrialData(*clips), options.device)
    return alternate({"in each step": always.run_epoch, "once": once.run_epoch}, options)


def outcome(figures: dict[str, dict[str, list[float]]]) -> Outcome:
    rows = [
        (
            name,
            *(shown_seconds(median(seconds)) for seconds in sides.values()),
            shown_ratios(ratios(sides["in each step"], sides["once"])),
        )
        for name, sides in figures.items()
    ]
    return Outcome(
        f"Log-mel: an epoch of the small preset, {TRAINED} clips to train on and {EVALUATED} to evaluate",
        ("arm", "in each step", "once", "times as fast"),
        rows,
        (
            "Medians of the rounds; in brackets the least and the greatest ratio of a round. Sides take turns, on one",
            "thread. mixup changes the waveforms that it trains on, so that only the evaluation gains; crop changes",
            "those of both. The clips are silent: time does not depend on what is heard. Computing them once, at a",
            "process's first trial, is left out: it takes as long as an epoch saves.",
        ),
        figures,
    )
