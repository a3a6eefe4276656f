"""The learning rate of each step."""

from __future__ import annotations

import math

from esc50tune.config import TrialConfig


def learning_rate(config: TrialConfig, step: int, steps: int) -> float:
    """Return the learning rate of step `step` (0 first) when an epoch has `steps`: linear warm-up, then the schedule.

    Half a cosine (Loshchilov & Hutter 2017, arXiv 1608.03983) starts at `lr` and would reach 0 one step after the last.
    """
    warm, total = config.warmup_epochs * steps, config.epochs * steps
    if step < warm:
        return config.lr * min((step + 1) / warm, 1.0)
    if config.schedule == "constant":
        return config.lr
    return config.lr * 0.5 * (1.0 + math.cos(math.pi * (step - warm) / (total - warm)))
