"""What opens every run: what will be run, on what, and what was reduced."""

from __future__ import annotations

from itertools import combinations

from esc50tune.data.locate import STAND_IN_BANNER
from sweeps.arms import Arm
from sweeps.console import Console, say
from sweeps.plan import Plan
from sweeps.resources import total


def print_plan(plan: Plan, console: Console) -> None:
    """Print what opens every run: what will be run, on what, and what was reduced."""
    print_study(plan, console)
    arms = f"each of {len(plan.arms)} arms" if len(plan.arms) > 1 else "one arm"
    dealt = f"{plan.trials // len(plan.arms)} for {arms}"
    rest = f", {plan.trials} of {plan.asked} in all" * (plan.trials < plan.asked)
    stopping = plan.scheduler + " within each arm" * (plan.scheduler != "none")
    say(console, f"trials    {dealt}{rest}; search {plan.search}, early stopping {stopping}")
    say(console, f"machine   {total(plan.machines)}; {plan.share}")


def print_study(plan: Plan, console: Console) -> None:
    """Print what is common to all trials: the clips, and what was reduced."""
    split, facts = plan.split, plan.facts
    if plan.dataset.is_stand_in:
        say(console, STAND_IN_BANNER, style="bold yellow")
    if plan.dropped:
        say(console, f"not run: {', '.join(plan.dropped)}, which every arm has on here")
    for first, second in twins(plan.arms):
        say(console, f"{second} is the same as {first} here")
    say(
        console,
        f"data      {plan.dataset.title}; clips of {plan.arms[0].fixed['clip_seconds']:g} s: {facts['padded']} padded, "
        f"{facts['cut']} cut, {facts['several_channels']} of several channels averaged",
    )
    test = f"fold {split.test} untouched" if split.test is not None else "NO TEST FOLD"
    left_out = f"; {plan.left_out} clips left out: their source has takes on another side" if plan.left_out else ""
    say(console, f"folds     train {', '.join(map(str, split.train))}; select on {split.val}; {test}{left_out}")
    say(console, f"preset    {plan.preset.name}: {plan.preset_says}")


def twins(arms: list[Arm]) -> list[tuple[str, str]]:
    """Return the pairs of arms that the command line made the same."""
    return [(a.name, b.name) for a, b in combinations(arms, 2) if a.fixed == b.fixed]
