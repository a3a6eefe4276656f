"""How fast this project is on this machine, beside what would be run otherwise."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from pkgutil import resolve_name

import torch
from rich import box
from rich.console import ConsoleDimensions
from rich.measure import Measurement
from rich.table import Table

import bench
from bench.base import Options, Outcome, write_json
from bench.machine import describe_machine, name_machine
from esc50tune.errors import UserError, nearest
from esc50tune.trial import default_device
from sweeps.cli import OneSentenceParser, at_least
from sweeps.console import Console, say
from sweeps.resources import this_machine


def print_outcome(outcome: Outcome, console: Console) -> None:
    say(console, f"\n{outcome.title}\n")
    table = Table(box=box.SIMPLE_HEAD)
    for i, column in enumerate(outcome.columns):
        table.add_column(column, justify="left" if i == 0 else "right", no_wrap=True)
    for row in outcome.rows:
        table.add_row(*row)
    # Whole in a file, and where the terminal is too narrow, too: half a figure is none.
    size, wide = console.size, Measurement.get(console, console.options.update(max_width=1_000), table).maximum
    console.size = ConsoleDimensions(max(size.width, wide), size.height)
    console.print(table)
    console.size = size
    for note in outcome.notes:
        say(console, note)


def run() -> int:
    parser = OneSentenceParser(prog="python -m bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(bench.PLACES)} (default: all)")
    parser.add_argument("--rounds", type=at_least(1), default=3, help="times that each side is timed (default 3)")
    parser.add_argument("--threads", type=at_least(1), default=this_machine().cpus, help="threads (default: all cores)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    args = parser.parse_args()
    for name in args.names:
        if name not in bench.PLACES:
            raise UserError(f"no benchmark is called '{name}'{nearest(name, bench.PLACES)}")
    torch.set_num_threads(args.threads)
    options, console, machine = Options(default_device(), args.rounds), Console(), describe_machine()
    say(console, name_machine(machine))
    told = {"machine": machine, "rounds": args.rounds}
    if args.json:
        write_json(args.json, told)  # where that cannot be, it is said before anything is measured
    for name in args.names or bench.PLACES:
        outcome = resolve_name(f"bench.{bench.PLACES[name]}")(options)
        print_outcome(outcome, console)
        told[name] = asdict(outcome)
        if args.json:
            write_json(args.json, told)
    return 0
