"""The command line that all sweep scripts share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from analysis.errors import ResultsError
from esc50tune.command import OneSentenceParser, at_least, end_with, loading
from esc50tune.errors import UserError


def make_parser(name: str, description: str, default_arms: tuple[str, ...]) -> argparse.ArgumentParser:
    """Return the parser of the sweep script `name`."""
    parser = OneSentenceParser(description=description, allow_abbrev=False)
    parser.set_defaults(script=name, default_arms=default_arms, base=None, feature=None)
    study = parser.add_argument_group("the study")
    study.add_argument(
        "--data", default="auto", help="folder in ESC-50's layout; auto: $ESC50_ROOT, data/ESC-50, stand-in"
    )
    study.add_argument("--arms", help=f"names, comma-separated (default: {','.join(default_arms)})")
    study.add_argument("--num-samples", type=at_least(1), default=40, help="trials in all, dealt equally (default 40)")
    if name == "regularization":
        study.add_argument(
            "--base", help="what regularizers are added to: convnext-raw, convnext-encodec, causal-lm, ..."
        )
        study.add_argument("--feature", help="raw, logmel or encodec, for every arm alike (default: the preset's)")
    study.add_argument(
        "--encodec-weights",
        help="pretrained (default), untrained, or a file of EnCodec's weights",
    )
    study.add_argument("--preset", help="small (default without a GPU), full (default with one), seed")
    study.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="fix a knob in every arm")
    study.add_argument("--test-fold", type=at_least(0), default=None, help="fold that no search sees (default 5)")
    study.add_argument("--val-fold", type=at_least(0), default=None, help="fold that selects (default 4)")
    study.add_argument("--seed", type=at_least(0), default=0, help="seed of the whole sweep (default 0)")
    how = parser.add_argument_group("the search")
    how.add_argument(
        "--search",
        choices=("sobol", "tpe", "random"),
        default="sobol",
        help="how points are chosen (default %(default)s)",
    )
    how.add_argument(
        "--scheduler",
        choices=("halving", "asha", "none"),
        default="halving",
        help="early stopping, within each arm (default %(default)s)",
    )
    how.add_argument("--time-budget", metavar="TIME", help="stop cleanly after 90s, 45m or 2h, all runs of it together")
    add_machine_flags(parser)
    earlier = parser.add_argument_group("an earlier sweep")
    earlier.add_argument("--resume", type=Path, metavar="FOLDER", help="go on with the sweep in results/NAME")
    earlier.add_argument("--extend", type=at_least(1), metavar="N", help="with --resume: run N trials more")
    earlier.add_argument("--force", action="store_true", help="with --resume: although code or packages differ")
    out = parser.add_argument_group("results")
    out.add_argument("--results", default="results", help="folder of results folders (default %(default)s)")
    out.add_argument("--name", help="name of this sweep's folder (default: date and time)")
    out.add_argument("--dry-run", action="store_true", help="check everything, print the plan, start nothing")
    out.add_argument(
        "--wandb",
        choices=("off", "offline", "online"),
        default="off",
        help="log each trial to Weights & Biases, or to files that `wandb sync` uploads (default %(default)s)",
    )
    debug = parser.add_argument_group("one trial, in this process, without Ray")
    debug.add_argument("--debug", action="store_true", help="run one trial here; breakpoints work")
    debug.add_argument("--arm", help="with --debug: whose default setting to run (default: the first arm)")
    debug.add_argument("--trial", type=at_least(0), help="with --debug and --name: trial number to run again")
    return parser


def add_machine_flags(parser: argparse.ArgumentParser) -> None:
    where = parser.add_argument_group("the machine")
    where.add_argument("--gpus-per-trial", type=float, help="share of a GPU for each trial (default: measured)")
    where.add_argument("--max-concurrent", type=at_least(1), help="trials at a time (default: as many as fit)")
    where.add_argument("--address", help="address of a running Ray cluster (default: this machine)")
    where.add_argument("--no-dashboard", action="store_true", help="do not start the Ray dashboard")


def run_script(name: str, description: str, default_arms: tuple[str, ...]) -> NoReturn:
    """Run a sweep script."""
    parser = make_parser(name, description, default_arms)

    def run() -> int:
        args = parser.parse_args()
        args.given = {flag for flag, value in vars(args).items() if value != parser.get_default(flag)}
        return dispatch(args)

    end_with(run, ResultsError)


def dispatch(args: argparse.Namespace) -> int:
    """Do what the command line asks for. Imports wait until here, so that --help does not wait for them."""
    if args.resume is None and (args.extend is not None or args.force):
        raise UserError("--extend and --force go with --resume")
    if args.debug:
        with loading("PyTorch"):
            from sweeps.debug import debug

        debug(args)
        return 0
    if args.arm is not None or args.trial is not None:
        raise UserError("--arm and --trial go with --debug")
    with loading("PyTorch and Ray"):
        from sweeps.runner import run_sweep

    return run_sweep(args)
