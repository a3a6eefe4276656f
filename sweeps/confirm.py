"""Is the difference real? Retrains the best configuration of each of a sweep's arms from scratch, on all folds but one
in turn and with several seeds, tests each run once, and says for each difference whether it is one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# So that `python sweeps/confirm.py` finds the packages without an installation.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from analysis.errors import ResultsError
from esc50tune.command import OneSentenceParser, at_least, busy, end_with
from sweeps.cli import add_machine_flags, add_wandb_flag


def make_parser() -> argparse.ArgumentParser:
    parser = OneSentenceParser(
        usage="python sweeps/confirm.py RESULTS [FLAGS]", description=__doc__, allow_abbrev=False
    )
    study = parser.add_argument_group("the study")
    study.add_argument("folder", type=Path, metavar="RESULTS", help="results folder of a sweep, results/NAME")
    study.add_argument(
        "--seeds", type=at_least(1), default=3, metavar="N", help="runs of each arm on each fold (default 3)"
    )
    study.add_argument("--folds", choices=("all", "test"), default="all", help="folds to test in turn (default all)")
    study.add_argument(
        "--top", type=at_least(1), default=1, metavar="N", help="configurations of each arm, best first (default 1)"
    )
    study.add_argument("--data", default="auto", metavar="FOLDER", help="the sweep's clips, if they were moved")
    study.add_argument("--detect", metavar="POINTS", help="how many seeds a difference of so many needs; runs nothing")
    add_machine_flags(parser)
    add_wandb_flag(parser.add_argument_group("results"))
    return parser


def main() -> int:
    args = make_parser().parse_args()
    with busy("loading PyTorch and Ray"):  # late, so that --help does not wait for them
        from sweeps.confirming import confirm

    return confirm(args)


if __name__ == "__main__":
    end_with(main, ResultsError)
