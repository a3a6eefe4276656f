"""How many trials a GPU should run at a time: as many as fit its memory and pay, tried for a few seconds.

A small model leaves most of a large GPU idle between its kernels; a large one fills it alone, and gains nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from threading import BrokenBarrierError
from typing import Any

import torch
from torch import multiprocessing

from esc50tune.config import TrialConfig
from esc50tune.data.clips import TrialData
from esc50tune.errors import UserError
from esc50tune.features import FEATURES
from esc50tune.seeds import stream
from esc50tune.trial import Trainer
from sweeps.console import Console, say
from sweeps.cost import measure
from sweeps.resources import this_machine, trials_that_fit

SECONDS = 3.0  # that each number of trials trains for
WORTH = 1.05  # twice as many trials must train at least so many times as fast, all together
PATIENCE = 300.0  # seconds that a process may take to start
NO_MEMORY, NOT_ALONE = 3, 4  # exit codes of processes


def measured_share(
    configs: Sequence[TrialConfig], classes: int, train_clips: int, val_clips: int, console: Console
) -> float:
    """Return the share of a GPU that a trial should get: the hungriest must fit, the slowest is tried side by side.

    Args:
        configs: a trial of each kind that is to run.
        classes: of the data.
        train_clips, val_clips: of one trial.

    Raises:
        UserError: the trials fail.
    """
    if not torch.cuda.is_available():
        say(console, "no GPU here to measure a trial on: each gets a whole one; --gpus-per-trial for a share")
        return 1.0
    machine, device = this_machine(), torch.device("cuda")
    try:
        costs = [measure(config, classes, train_clips, val_clips) for config in configs]
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        say(console, "packing   one at a time: a step does not fit the GPU's memory; a trial then tries halves of it")
        return 1.0
    slowest = configs[max(range(len(costs)), key=lambda i: costs[i].seconds)]
    torch.cuda.empty_cache()  # this process stays, and the trials need the memory
    fit = trials_that_fit(max(cost.peak_bytes for cost in costs), torch.cuda.get_device_properties(0).total_memory)
    most, rates = min(fit, max(1, machine.cpus // machine.gpus)), {}

    def rate(count: int) -> float:
        threads = max(1, machine.cpus // (machine.gpus * count))
        rates[count] = clips_a_second(slowest, classes, count, device, threads)
        return rates[count]

    with console.status("measuring how many trials at a time a GPU is worth"):
        count = trials_that_pay(rate, most)
    told = ", ".join(f"{rate:,.0f} with {number}" for number, rate in rates.items())
    say(console, f"packing   {count} at a time on each GPU" + f": clips/s {told}" * bool(told))
    return 1.0 / count


def trials_that_pay(rate: Callable[[int], float], most: int) -> int:
    """Return how many trials at a time to run, at most `most`: doubled as long as that pays.

    Args:
        rate: tells what so many trials do a second, all together.
        most: how many fit.
    """
    count, best = 1, rate(1) if most > 1 else 0.0
    while count < most:
        more = min(2 * count, most)
        faster = rate(more)
        if not faster or faster < WORTH * best:  # nothing, where not even one fits any more
            break
        count, best = more, faster
    return count


def clips_a_second(
    config: TrialConfig, classes: int, count: int, device: torch.device, threads: int, seconds: float = SECONDS
) -> float:
    """Return the clips that `count` trials of one configuration train on a second, all together; 0 if they do not fit.

    Each is a process of its own, as in a sweep; the clips are of nothing.

    Raises:
        UserError: a process failed for another reason than its memory; it has printed which.
    """
    context: Any = multiprocessing.get_context("spawn")
    ready, rates = context.Barrier(count, timeout=PATIENCE), context.SimpleQueue()
    arguments = (config, classes, device, threads, seconds, ready, rates)
    processes = [context.Process(target=train_for_a_while, args=arguments, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    codes = {process.exitcode for process in processes}
    if NO_MEMORY in codes:
        return 0.0
    if codes != {0}:
        raise UserError(
            f"{count} trials side by side failed on {device}; --gpus-per-trial says how many to run at a time"
        )
    return sum(rates.get() for _ in processes)


def train_for_a_while(
    config: TrialConfig, classes: int, device: torch.device, threads: int, seconds: float, ready: Any, rates: Any
) -> None:
    """Train until the time is over, from when all processes are ready; put the clips a second that came to."""
    try:
        rates.put(rate_alone(config, classes, device, threads, seconds, ready.wait))
    except BrokenBarrierError:  # another one failed
        sys.exit(NOT_ALONE)
    except torch.OutOfMemoryError:
        ready.abort()
        sys.exit(NO_MEMORY)
    except BaseException:
        ready.abort()
        raise


def rate_alone(
    config: TrialConfig,
    classes: int,
    device: torch.device,
    threads: int,
    seconds: float,
    wait: Callable[[], object],
) -> float:
    """Take a first step, wait, train for at least so many seconds, and return the clips a second."""
    torch.set_num_threads(threads)
    clips = FEATURES[config.feature].example(config, config.batch_size, classes)
    trainer = Trainer(config, TrialData(clips, clips), device)
    trainer.classifier.train()
    streams = {method: stream(0, method.name) for method in trainer.methods}
    indices, steps = list(range(config.batch_size)), 0

    def step() -> None:
        trainer.train_batch(indices, streams, config.lr)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    step()
    wait()
    start = time.perf_counter()
    while time.perf_counter() < start + seconds:
        step()
        steps += 1
    return config.batch_size * steps / (time.perf_counter() - start)
