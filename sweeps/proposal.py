"""`confirm.py --detect`: how many seeds a difference needs to be seen, and what they cost, before anything runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from analysis.layout import compared, make_parts
from analysis.load import Results
from analysis.power import Design, Noise, assumed_noise, least_difference, seeds_needed
from analysis.statistics import measured_noise
from esc50tune.command import shown
from esc50tune.errors import UserError
from sweeps.confirmation import Confirmation
from sweeps.console import Console, clock, say
from sweeps.resources import Share

# Shares of clips on which two runs disagree, where nothing is measured: any two runs, and two of one arm where arms
# know different clips, as ConvNeXts did on ESC-10.
ASSUMED, SAME_ARM = 0.2, 0.12
ENDLESS = 10**6  # seeds


def points(text: str) -> float:
    """Read --detect.

    Raises:
        UserError: it is no positive number below 100.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < 100.0:
        raise UserError(f"--detect {text}: give a difference in points of accuracy, for instance 2")
    return value / 100.0


def propose(results: Results, plan: Confirmation, difference: float, share: Share, console: Console) -> int:
    """Say how many seeds this design needs to see a difference, and what they cost. Nothing is started.

    Raises:
        UserError: no arm is compared with another.
    """
    parts = make_parts(plan.sweep, [frozen.label for frozen in plan.frozen])
    tables = [[len(others) for others in part.groups.values()] for part in parts if part.groups]
    if not tables:
        raise UserError("--detect: no two of this sweep's arms are compared with each other")
    # The larger table is adjusted for more comparisons, the smaller one has less to tell its error from.
    designs = [Design(len(plan.folds), max(sizes), sum(sizes)) for sizes in tables]
    noise = tell_noise(results, plan, designs, console)
    needed = [seeds_needed(difference, noise, design) for design in designs]
    if None in needed:
        say(
            console,
            f"no number of seeds finds a true difference of {100 * difference:g} points here, only more clips do: "
            f"seeds find {100 * floor(noise, designs):.1f} points at best",
        )
        return 0
    seeds, where = max(needed), "in either table in" if len(tables) > 1 else "in"
    runs = len(plan.frozen) * len(plan.folds) * seeds
    say(
        console,
        f"{seeds} seeds find a true difference of {100 * difference:g} points {where} 8 of 10 studies of this design:",
    )
    say(console, f"{runs} runs on {len(plan.folds)} folds, about {clock(cost(plan, seeds) / share.slots)} ({share})")
    say(console, f"nothing was started: {command(plan, seeds)}", whole=True)
    return 0


def command(plan: Confirmation, seeds: int) -> str:
    """Return the command that runs what was reckoned with."""
    folds = " --folds test" if len(plan.folds) < len(plan.dataset.folds) else ""
    top = max(Counter(frozen.arm for frozen in plan.frozen).values())
    return f"python sweeps/confirm.py {shown(plan.folder.parent)} --seeds {seeds}{folds}" + f" --top {top}" * (top > 1)


def floor(noise: Noise, designs: Sequence[Design]) -> float:
    """Return the smallest true difference that seeds without end find in any table."""
    return max(least_difference(noise, ENDLESS, design) for design in designs)


def tell_noise(results: Results, plan: Confirmation, designs: Sequence[Design], console: Console) -> Noise:
    """Return the noise that a difference has, and say where it is from: from runs that are confirmed already, if they
    can tell it."""
    clips = sum(clip.fold in plan.folds for clip in plan.dataset.clips)
    measured = measure_noise(results)
    if measured:
        found, tested = measured
        # With more folds of equal size, all parts of it shrink alike.
        noise = Noise(found.lasting * tested / clips, found.passing * tested / clips)
        one, endless = (100 * math.sqrt(variance) for variance in (noise.variance(1), noise.lasting))
        for line in (
            f"noise     of a difference, measured on the runs confirmed so far: {one:.1f} points with one seed,",
            f"          {endless:.1f} with seeds without end, as the arms know different clips. It is the mean of all",
            "          comparisons within folds; a table's (≥ x) is of each arm's own noise, and larger where",
            "          folds disagree on an arm, which seeds do not mend",
        ):
            say(console, line)
        return noise
    same, apart = (assumed_noise(clips, len(plan.folds), of_one, ASSUMED) for of_one in (ASSUMED, SAME_ARM))
    for line in (
        f"noise     assumed, as no two seeds are confirmed: any two runs disagree on {100 * ASSUMED:g} % of the clips;",
        f"          if those of one arm do on {100 * SAME_ARM:g} % only, as on ESC-10, seeds find no less than",
        f"          {100 * floor(apart, designs):.1f} points, however many: confirm two, then ask again",
    ):
        say(console, line)
    return same


def measure_noise(results: Results) -> tuple[Noise, int] | None:
    """Return the noise of confirmed runs, and how many clips they tested; None where they cannot tell it."""
    confirmed = results.confirmed
    if confirmed is None or not confirmed.block.folds:
        return None
    correct, folds, sources = confirmed.correct()
    noise = measured_noise(correct, compared(results.manifest, list(correct)), folds, sources)
    return (noise, len(folds)) if noise else None


def cost(plan: Confirmation, seeds: int) -> float:
    """Return the seconds that all runs take one after the other, from those of the sweep's trials."""
    split = plan.sweep["split"]
    clips = len(plan.dataset.clips) * (1.0 - 1.0 / len(plan.dataset.folds))
    longer = clips / split["train_clips"]
    return sum(longer * frozen.seconds * len(plan.folds) * seeds for frozen in plan.frozen)
