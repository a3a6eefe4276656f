"""The command line that all sweep scripts share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from analysis.errors import ResultsError
from esc50tune.command import OneSentenceParser, at_least, busy, end_with
from esc50tune.errors import UserError


def make_parser(name: str, description: str, default_arms: tuple[str, ...]) -> argparse.ArgumentParser:
    """Return the parser of the sweep script `name`."""
    usage = f"python sweeps/{name}.py [FLAGS]"
    parser = OneSentenceParser(usage=usage, description=description, allow_abbrev=False)
    parser.set_defaults(script=name, default_arms=default_arms, base=None, feature=None)
    study = parser.add_argument_group("the study")
    study.add_argument(
        "--data",
        default="auto",
        metavar="FOLDER",
        help="in ESC-50's layout; auto (default): $ESC50_ROOT, else data/ESC-50, else the stand-in",
    )
    study.add_argument("--arms", metavar="NAMES", help=f"comma-separated (default: {', '.join(default_arms)})")
    study.add_argument(
        "--num-samples", type=at_least(1), default=40, metavar="N", help="trials in all, dealt equally (default 40)"
    )
    if name == "regularization":
        study.add_argument(
            "--base",
            metavar="ARM",
            help="what they are added to: convnext-raw, causal-lm, ...",
        )
        study.add_argument("--feature", metavar="NAME", help="raw, logmel or encodec (default: the preset's)")
    study.add_argument("--encodec-weights", metavar="W", help="pretrained (default), untrained, or a file of them")
    study.add_argument("--preset", metavar="NAME", help="full (default with a GPU), small (without), best, seed")
    study.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="fix a knob of docs/knobs.md in every arm; repeatable",
    )
    study.add_argument("--test-fold", type=at_least(0), metavar="N", help="fold that no search sees (default 5)")
    study.add_argument("--val-fold", type=at_least(0), metavar="N", help="fold that selects (default 4)")
    study.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="of the whole sweep (default 0)")
    how = parser.add_argument_group("the search")
    how.add_argument(
        "--search",
        choices=("sobol", "tpe", "random"),
        default="sobol",
        metavar="NAME",
        help="of points: sobol (default), tpe or random",
    )
    how.add_argument(
        "--scheduler",
        choices=("halving", "asha", "none"),
        default="halving",
        metavar="NAME",
        help="early stopping: halving (default), asha or none",
    )
    how.add_argument("--time-budget", metavar="TIME", help="stop cleanly after 90s, 45m or 2h, all runs together")
    add_machine_flags(parser)
    earlier = parser.add_argument_group("an earlier sweep")
    earlier.add_argument("--resume", type=Path, metavar="FOLDER", help="go on with the sweep in results/NAME")
    earlier.add_argument("--extend", type=at_least(1), metavar="N", help="with --resume: run N trials more")
    earlier.add_argument("--force", action="store_true", help="with --resume: although code or packages differ")
    out = parser.add_argument_group("results")
    out.add_argument(
        "--results", default="results", metavar="FOLDER", help="holds those of all sweeps (default results)"
    )
    out.add_argument("--name", help="of this sweep's folder (default: date and time)")
    out.add_argument("--dry-run", action="store_true", help="check everything, print the plan, start nothing")
    add_wandb_flag(out)
    debug = parser.add_argument_group("one trial, in this process, without Ray")
    debug.add_argument("--debug", action="store_true", help="run one trial here; breakpoints work")
    debug.add_argument("--arm", metavar="NAME", help="whose default setting to run (default: the first arm's)")
    debug.add_argument("--trial", type=at_least(0), metavar="N", help="with --name: trial to run again")
    return parser


def add_machine_flags(parser: argparse.ArgumentParser) -> None:
    where = parser.add_argument_group("the machine")
    where.add_argument("--gpus-per-trial", type=float, metavar="X", help="share of a GPU (default: measured)")
    where.add_argument(
        "--max-concurrent", type=at_least(1), metavar="N", help="trials at a time (default: as many as fit)"
    )
    where.add_argument("--address", metavar="HOST:PORT", help="of a running Ray cluster (default: this machine)")
    where.add_argument("--no-dashboard", action="store_true", help="do not start the Ray dashboard")


def add_wandb_flag(where: argparse._ArgumentGroup) -> None:
    where.add_argument(
        "--wandb",
        choices=("off", "offline", "online"),
        default="off",
        metavar="MODE",
        help="log to Weights & Biases: off (default), online, offline",
    )


def run_script(name: str, description: str, default_arms: tuple[str, ...]) -> NoReturn:
    """Run a sweep script."""
    parser = make_parser(name, description, default_arms)

    def run() -> int:
        return dispatch(parse(parser))

    end_with(run, ResultsError)


def parse(parser: argparse.ArgumentParser, line: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse a command line, this process's by default; `given` of the result are the flags that are in it."""
    args, unsaid = parser.parse_args(line), object()
    # argparse leaves alone what is there already; to a list it appends.
    empty = {flag: [] if isinstance(value, list) else unsaid for flag, value in vars(args).items()}
    said = vars(parser.parse_args(line, argparse.Namespace(**empty)))
    args.given = {flag for flag, value in said.items() if value is not unsaid and value != []}
    return args


def dispatch(args: argparse.Namespace) -> int:
    """Do what the command line asks for. Imports wait until here, so that --help does not wait for them."""
    if args.resume is None and (args.extend is not None or args.force):
        raise UserError("--extend and --force go with --resume")
    if args.debug:
        with busy("loading PyTorch"):
            from sweeps.debug import debug

        debug(args)
        return 0
    if args.arm is not None or args.trial is not None:
        raise UserError("--arm and --trial go with --debug")
    with busy("loading PyTorch and Ray"):
        from sweeps.runner import run_sweep

    return run_sweep(args)
