"""`--dry-run`: what a sweep would do and cost, from one timed step of each arm."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from rich import box
from rich.table import Table

from esc50tune.config import TrialConfig
from esc50tune.data.clips import TrialData
from esc50tune.features import FEATURES
from esc50tune.seeds import stream
from esc50tune.trial import Trainer, default_device
from sweeps.arms import Arm
from sweeps.console import Console, clock, say, shown
from sweeps.plan import Plan, print_plan
from sweeps.search import next_point

SLOW_STEP = 1.0  # seconds for one clip from which a whole batch is not waited for


def step_seconds(trainer: Trainer) -> float:
    """Time one training step, after one to warm up; a slow model is timed on one clip and scaled to the batch."""
    size = len(trainer.data.train)
    single = timed_step(trainer, 1)
    if single > SLOW_STEP:
        return single * size
    timed_step(trainer, size)
    return timed_step(trainer, size)


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
    """Time one step of a trial on clips of nothing, so that no feature need be computed for it.

    Evaluation is counted as a third of a step for as many clips, or crops.
    """
    device = default_device()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    clips = FEATURES[config.feature].example(config, min(config.batch_size, train_clips), classes)
    trainer = Trainer(config, TrialData(clips, clips), device)
    views = config.crop_views if config.crop_seconds else 1
    steps = math.ceil(train_clips / config.batch_size) + views * val_clips / config.batch_size / 3
    seconds = step_seconds(trainer) * steps * config.epochs
    return Cost(seconds, torch.cuda.max_memory_reserved() if device.type == "cuda" else 0)


def plan_cost(arm: Arm, plan: Plan) -> Cost:
    """Measure the arm's default setting."""
    return measure(plan.config(arm), len(plan.dataset.classes), plan.train_clips, plan.val_clips)


def dry_run(plan: Plan, console: Console) -> None:
    """Print arms, points, resources, estimated time and disk."""
    torch.set_num_threads(plan.share.cpus)
    print_plan(plan, console)
    with console.status("timing a step of each arm"):
        costs = {arm.name: plan_cost(arm, plan) for arm in plan.arms}
    per_arm = plan.trials // len(plan.arms)
    table = Table(title="arms", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("arm", "parameters", "trials", "epochs", "a full trial"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for arm in plan.arms:
        count, epochs = f"{plan.parameters[arm.name]:,}", str(arm.fixed["epochs"])
        table.add_row(arm.name, count, str(per_arm), epochs, clock(costs[arm.name].seconds))
    console.print(table)
    say(console, "points    (d: the arm's default setting)")
    for line in points(plan):
        say(console, f"  {line}")
    total = sum(cost.seconds for cost in costs.values()) * per_arm
    about = clock(total / plan.share.slots)
    say(
        console,
        f"time      about {about}: all trials in full, {plan.share.slots} at a time, from one timed step an arm",
    )
    say(console, f"disk      {plan.checkpoint_bytes / 1e6:,.1f} MB of checkpoints in {shown(plan.folder)}")
    say(console, "nothing was started")


def points(plan: Plan) -> Iterator[str]:
    """Yield a line for each trial whose point is known before the sweep: all of them, but for TPE's later ones."""
    known = plan.trials if plan.search != "tpe" else len(plan.arms)
    for number in range(known):
        arm, index = plan.arms[number % len(plan.arms)], number // len(plan.arms)
        sampled = next_point(arm, plan.search, plan.seed, index, [])
        values = sampled or {knob: arm.fixed[knob] for knob in arm.space}
        listed = ", ".join(f"{knob} {value:.3g}" for knob, value in values.items())
        yield f"{number:>3} {arm.name:<18} {' ' if sampled else 'd'} {listed}"
    if known < plan.trials:
        yield f"the {plan.trials - known} others follow from results"
