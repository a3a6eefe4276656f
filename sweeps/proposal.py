"""`confirm.py --detect`: how many seeds a difference needs to be seen, and what they cost, before anything runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from analysis.layout import Part, make_parts
from analysis.load import Results
from analysis.power import Design, Noise, assumed_noise, least_difference, seeds_needed
from analysis.statistics import measured_noise
from esc50tune.command import shown
from esc50tune.data.lines import counted
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
    """Say how many seeds each table needs to see a difference, and what they cost. Nothing is started.

    Raises:
        UserError: no arm is compared with another.
    """
    parts = [part for part in make_parts(plan.sweep, [frozen.label for frozen in plan.frozen]) if part.groups]
    if not parts:
        raise UserError("--detect: no two of this sweep's arms are compared with each other")
    designs = [design_of(part, len(plan.folds)) for part in parts]
    noises = tell_noise(results, plan, parts, designs, console)
    needed = [seeds_needed(difference, *one) for one in zip(noises, designs, strict=True)]
    for part, noise, design, seeds in zip(parts, noises, designs, needed, strict=True):
        say(console, f"{part.name}: {finding(difference, noise, design, seeds)}")
    enough = [seeds for seeds in needed if seeds]
    if enough:
        runs, folds = len(plan.frozen) * len(plan.folds) * max(enough), counted(len(plan.folds), "fold")
        say(console, f"{runs} runs on {folds}, about {clock(cost(plan, max(enough)) / share.slots)} ({share})")
        say(console, f"nothing was started: {command(plan, max(enough))}", whole=True)
    return 0


def design_of(part: Part, folds: int) -> Design:
    """Return what a table compares. A larger one is adjusted for more comparisons, a smaller one has less to tell its
    error from."""
    sizes = [len(others) for others in part.groups.values()]
    return Design(folds, max(sizes), sum(sizes))


def finding(difference: float, noise: Noise, design: Design, seeds: int | None) -> str:
    """Say how many seeds find a difference in a table; `seeds` is None where no number does."""
    what = f"a true difference of {100 * difference:g} points"
    if seeds:
        return f"{counted(seeds, 'seed')} find{'s' * (seeds == 1)} {what} in 8 of 10 studies of this design"
    best = 100 * least_difference(noise, ENDLESS, design)
    return f"no number of seeds finds {what}, only more clips do: seeds find {best:.1f} points at best"


def command(plan: Confirmation, seeds: int) -> str:
    """Return the command that runs what was reckoned with."""
    folds = " --folds test" if plan.folds == [plan.test_fold] else ""
    top = max(Counter(frozen.arm for frozen in plan.frozen).values())
    return f"python sweeps/confirm.py {shown(plan.folder.parent)} --seeds {seeds}{folds}" + f" --top {top}" * (top > 1)


def tell_noise(
    results: Results, plan: Confirmation, parts: Sequence[Part], designs: Sequence[Design], console: Console
) -> list[Noise]:
    """Return the noise that a difference has in each table, and say where it is from: from runs that are confirmed
    already, if they can tell it of all tables."""
    clips = sum(clip.fold in plan.folds for clip in plan.dataset.clips)
    measured, tested = measure_noise(results)
    if any(part.name not in measured for part in parts):
        return assume_noise(clips, designs, console)
    # With more folds of equal size, all parts of it shrink alike.
    shrunk = tested / clips
    noises = [Noise(found.lasting * shrunk, found.passing * shrunk) for found in (measured[p.name] for p in parts)]
    say(console, "noise     of a difference, measured on the runs confirmed so far, the mean of a table's comparisons:")
    for part, noise in zip(parts, noises, strict=True):
        one, endless = (100 * math.sqrt(variance) for variance in (noise.variance(1), noise.lasting))
        say(console, f"          {part.name}: {one:.1f} points with one seed, {endless:.1f} with seeds without end, as")
        say(console, "          the arms know different clips")
    say(console, "          It is that within folds; a table's (≥ x) reckons with how much folds disagree, too, which")
    say(console, "          seeds do not mend")
    return noises


def assume_noise(clips: int, designs: Sequence[Design], console: Console) -> list[Noise]:
    """Return the noise of designs of which nothing is measured, and say what is assumed."""
    same, apart = (assumed_noise(clips, designs[0].folds, of_one, ASSUMED) for of_one in (ASSUMED, SAME_ARM))
    floor = 100 * max(least_difference(apart, ENDLESS, design) for design in designs)
    for line in (
        f"noise     assumed, as no two seeds are confirmed: any two runs disagree on {100 * ASSUMED:g} % of the clips;",
        f"          if those of one arm do on {100 * SAME_ARM:g} % only, as on ESC-10, seeds find no less than",
        f"          {floor:.1f} points, however many: confirm two, then ask again",
    ):
        say(console, line)
    return [same] * len(designs)


def measure_noise(results: Results) -> tuple[dict[str, Noise], int]:
    """Return the noise of confirmed runs in each table that can tell it, by its name, and how many clips they tested.

    Tables do not share it: arms of one model know more of the same clips than two models do.
    """
    confirmed = results.confirmed
    if confirmed is None or not confirmed.block.folds:
        return {}, 0
    correct, folds, sources = confirmed.correct()
    parts = make_parts(results.manifest, list(correct))
    found = {part.name: measured_noise(correct, part.groups, folds, sources) for part in parts}
    return {name: noise for name, noise in found.items() if noise}, len(folds)


def cost(plan: Confirmation, seeds: int) -> float:
    """Return the seconds that all runs take one after the other, from those of the sweep's trials."""
    split = plan.sweep["split"]
    clips = len(plan.dataset.clips) * (1.0 - 1.0 / len(plan.dataset.folds))
    longer = clips / split["train_clips"]
    return sum(longer * frozen.seconds * len(plan.folds) * seeds for frozen in plan.frozen)
