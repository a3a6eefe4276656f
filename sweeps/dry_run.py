"""`--dry-run`: what a sweep would do and cost, from one timed step of each arm."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table

from esc50tune.trial import Trainer, default_device
from sweeps.arms import Arm
from sweeps.plan import Plan, describe_plan
from sweeps.progress import clock

SLOW_STEP = 1.0  # seconds for one clip from which a whole batch is not waited for


def step_seconds(trainer: Trainer) -> float:
    """Time one training step, after one to warm up; a slow model is timed on one clip and scaled to the batch."""
    size = min(trainer.config.batch_size, len(trainer.data.train))
    single = timed_step(trainer, 1)
    if single > SLOW_STEP:
        return single * size
    timed_step(trainer, size)
    return timed_step(trainer, size)


def timed_step(trainer: Trainer, size: int) -> float:
    indices = list(range(size))
    start = time.perf_counter()
    trainer.train_batch(indices, {}, trainer.config.lr)
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Cost:
    """What a trial of an arm takes at most: seconds, and bytes of GPU memory (0 on a CPU)."""

    seconds: float
    peak_bytes: int


def measure(arm: Arm, plan: Plan) -> Cost:
    """Time one step of the arm's default setting; evaluation is counted as a third of a step for as many clips."""
    config, data, device = plan.config(arm), plan.data, default_device()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    trainer = Trainer(config, data, device)
    steps = math.ceil(len(data.train) / config.batch_size) + len(data.val) / config.batch_size / 3
    seconds = step_seconds(trainer) * steps * config.epochs
    return Cost(seconds, torch.cuda.max_memory_reserved() if device.type == "cuda" else 0)


def dry_run(plan: Plan, console: Console) -> None:
    """Print arms, points, resources, estimated time and disk."""
    torch.set_num_threads(plan.share.cpus)
    for line in describe_plan(plan):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    table = Table(title="what would be run", title_justify="left")
    for name in ("arm", "parameters", "trials", "epochs", "a full trial", "varied by the search"):
        table.add_column(name, justify="right" if name not in ("arm", "varied by the search") else "left")
    per_arm, total = plan.trials // len(plan.arms), 0.0
    with console.status("timing a step of each arm"):
        costs = {arm.name: measure(arm, plan) for arm in plan.arms}
    for arm in plan.arms:
        total += costs[arm.name].seconds * per_arm
        varied = ", ".join(f"{knob} {r.low:g}..{r.high:g}{' log' * r.log}" for knob, r in arm.space.items())
        count, epochs = f"{plan.parameters[arm.name]:,}", str(arm.fixed["epochs"])
        table.add_row(arm.name, count, str(per_arm), epochs, clock(costs[arm.name].seconds), varied or "nothing")
    console.print(table)
    console.print(
        f"time at most {clock(total / plan.share.slots)} (every trial in full, {plan.share.slots} at a time, from one "
        f"timed step an arm); checkpoints {plan.checkpoint_bytes / 1e6:,.1f} MB in {plan.folder}\nnothing was started",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
