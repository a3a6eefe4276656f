"""How long a training step and an epoch of the original study's models take, here and in a plain loop."""

from __future__ import annotations

from statistics import median
from typing import Any

from bench.base import Options, Outcome
from bench.our_loop import OurLoop
from bench.plain_loop import PlainLoop
from bench.study import EVALUATED, MODELS, TRAINED, Case, study_case
from bench.timing import alternate, ratios, shown_ratios, shown_seconds

Seconds = dict[str, list[float]]  # of each round, by side


def run(options: Options) -> Outcome:
    """Time every model of the study."""
    figures = {}
    for name in MODELS:
        with study_case(name, options.device) as case:
            figures[name] = measure(case, options)
    return outcome(figures)


def measure(case: Case, options: Options) -> dict[str, Any]:
    """Return the clips of a step, and the seconds of steps, evaluations and epochs, by side."""
    loops = {
        "plain": PlainLoop(case, options.device),
        "fp32": OurLoop(case, options.device, "fp32"),
        "bf16": OurLoop(case, options.device, "bf16"),
    }
    clips = case.config.batch_size
    steps = alternate({side: loop.step for side, loop in loops.items()}, options)
    evaluations = alternate({side: loop.evaluate for side, loop in loops.items()}, options)
    return {
        "clips": clips,
        "step": steps,
        "evaluation": evaluations,
        "epoch": {side: whole_epochs(steps[side], evaluations[side], clips) for side in loops},
    }


def whole_epochs(steps: list[float], evaluations: list[float], clips: int) -> list[float]:
    """Return what an epoch would take at each round's pace, where a step and an evaluation are of `clips` clips."""
    pairs = zip(steps, evaluations, strict=True)
    return [(TRAINED * step + EVALUATED * evaluation) / clips for step, evaluation in pairs]


def outcome(figures: dict[str, Any]) -> Outcome:
    rows = [
        row(f"{name} × {told['clips']}", what, side, told[what])
        for name, told in figures.items()
        for what in ("step", "epoch")
        for side in ("fp32", "bf16")
    ]
    return Outcome(
        "Training: this project against a plain loop as the original study has it",
        ("clips of a step", "", "in", "plain", "here", "times as fast"),
        rows,
        (
            "Medians of the rounds; in brackets the least and the greatest ratio of a round. Sides take turns.",
            "The plain loop is in fp32. A step: clips from the disk or the cache, forward, backward, AdamW;",
            "causal-lm has SAM, two passes each way. An epoch is extrapolated from steps and evaluations to",
            f"{TRAINED} and {EVALUATED} clips. Waveforms are noise, latents and codes random: EnCodec is not run.",
        ),
        figures,
    )


def row(name: str, what: str, side: str, seconds: Seconds) -> tuple[str, ...]:
    plain, here = seconds["plain"], seconds[side]
    times = (shown_seconds(median(plain)), shown_seconds(median(here)))
    return name, what, side, *times, shown_ratios(ratios(plain, here))
