"""`--dry-run`: what a sweep would do and cost, from some timed steps of each arm."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from rich import box
from rich.table import Table

from esc50tune.allocator import keep_freed_memory
from esc50tune.command import shown
from esc50tune.errors import UserError
from sweeps.arms import Arm
from sweeps.console import Console, clock, say
from sweeps.cost import measure
from sweeps.opening import print_plan
from sweeps.plan import Plan
from sweeps.search import next_point


def dry_run(plan: Plan, console: Console) -> None:
    """Print arms, points, resources, estimated time and disk."""
    torch.set_num_threads(plan.share.cpus)
    keep_freed_memory()  # as trials do: without it a step takes longer
    print_plan(plan, console)
    with console.status("timing each arm"):
        clips = len(plan.dataset.classes), plan.train_clips, plan.val_clips
        seconds = {arm.name: trial_seconds(plan, arm, *clips) for arm in plan.arms}
    per_arm = plan.trials // len(plan.arms)
    table = Table(title="arms", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("arm", "parameters", "trials", "epochs", "a full trial"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for arm in plan.arms:
        count, epochs = f"{plan.parameters[arm.name]:,}", str(arm.fixed["epochs"])
        table.add_row(arm.name, count, str(per_arm), epochs, clock(seconds[arm.name]))
    console.print(table)
    say(console, "points    (d: the arm's default setting)")
    for line in points(plan):
        say(console, f"  {line}")
    total = sum(seconds.values()) * per_arm
    about = clock(total / plan.share.slots)
    say(
        console,
        f"time      about {about}: all trials in full, {plan.share.slots} at a time, from some steps of each",
    )
    say(console, f"disk      {plan.checkpoint_bytes / 1e6:,.1f} MB of checkpoints in {shown(plan.folder)}")
    say(console, "nothing was started")


def trial_seconds(plan: Plan, arm: Arm, *clips: int) -> float:
    """Return the seconds of a full trial.

    Raises:
        UserError: a step of it does not fit the GPU.
    """
    try:
        return measure(plan.config(arm), *clips).seconds
    except torch.OutOfMemoryError:
        raise UserError(
            f"a step of {arm.name} does not fit the GPU: --set batch_parts=2 computes it in halves"
        ) from None


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
