"""Timing sides against each other: in turns, so that whatever else the machine does falls on all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch

from bench.base import Options


def alternate(sides: dict[str, Callable[[], object]], options: Options) -> dict[str, list[float]]:
    """Return the seconds that each side took in each round; a round before the first does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds + 1):
        for name, run in sides.items():
            seconds[name].append(timed(run, options.device))
    return {name: each[1:] for name, each in seconds.items()}


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Return the seconds that `run` takes, until the device is done with it."""
    wait(device)
    start = time.perf_counter()
    run()
    wait(device)
    return time.perf_counter() - start


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ratios(slow: list[float], fast: list[float]) -> list[float]:
    """Return how many times as fast the second side was in each round."""
    return [a / b for a, b in zip(slow, fast, strict=True)]


def shown_ratios(each: list[float]) -> str:
    """Return the median of the rounds, and the least and the greatest of them."""
    return f"{median(each):.2f} ({min(each):.2f}–{max(each):.2f})"


def shown_seconds(seconds: float) -> str:
    """Return a time with three digits, in the unit that fits."""
    if seconds >= 1_000.0:
        return f"{seconds / 60.0:.0f} min"
    factor, unit = next((f, u) for f, u in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")) if seconds * f >= 1.0 or u == "µs")
    return f"{seconds * factor:.3g} {unit}"
