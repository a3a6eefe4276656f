"""What a trial costs, told from some timed steps of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch

from esc50tune.config import TrialConfig
from esc50tune.data.clips import TrialData
from esc50tune.data.resident import clip_bytes
from esc50tune.features import FEATURES
from esc50tune.seeds import stream
from esc50tune.trial import Trainer, default_device

SLOW_STEP = 1.0  # seconds for one clip from which a whole batch is not waited for
MOST_STEPS, ENOUGH_SECONDS = 10, 2.0


def step_seconds(trainer: Trainer) -> float:
    """Return the least seconds of some training steps; a slow model is timed on one clip and scaled to the batch.

    The least, since the first ones are slow: memory is taken from the system, the optimizer's state is made.
    """
    size = len(trainer.data.train)
    single = timed_step(trainer, 1)
    if single > SLOW_STEP:
        return single * size
    steps = [timed_step(trainer, size), timed_step(trainer, size)]
    while len(steps) < MOST_STEPS and sum(steps) < ENOUGH_SECONDS:
        steps.append(timed_step(trainer, size))
    return min(steps)


def timed_step(trainer: Trainer, size: int) -> float:
    indices = list(range(size))
    start = time.perf_counter()
    trainer.train_batch(indices, {method: stream(0, method.name) for method in trainer.methods}, trainer.config.lr)
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Cost:
    """What a full trial of an arm takes: about how many seconds, and bytes of GPU memory (0 on a CPU)."""

    seconds: float
    peak_bytes: int


def measure(config: TrialConfig, classes: int, train_clips: int, val_clips: int) -> Cost:
    """Time steps of a trial on clips of nothing, so that no feature need be computed for it.

    Evaluation is counted as a third of a step for as many clips, or crops.

    Raises:
        torch.OutOfMemoryError: a step does not fit the GPU.
    """
    device = default_device()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    clips = FEATURES[config.feature].example(config, min(config.batch_size, train_clips), classes)
    trainer = Trainer(config, TrialData(clips, clips), device)
    views = config.crop_views if config.crop_seconds else 1
    steps = math.ceil(train_clips / config.batch_size) + views * val_clips / config.batch_size / 3
    seconds = step_seconds(trainer) * steps * config.epochs
    if device.type != "cuda":
        return Cost(seconds, 0)
    # A trial's clips lie on the GPU beside what a step takes.
    return Cost(seconds, torch.cuda.max_memory_reserved() + (train_clips + val_clips) * clip_bytes(clips))
