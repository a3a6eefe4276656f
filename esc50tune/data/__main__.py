"""`python -m esc50tune.data`: fetches the real ESC-50, checks data in its layout, makes that layout of one's own."""

from __future__ import annotations

import argparse
from pathlib import Path

from esc50tune.command import OneSentenceParser, busy, end_with, shown
from esc50tune.data import DEFAULT_TARGET


def main() -> int:
    parser = OneSentenceParser(prog="python -m esc50tune.data", description="Look after the recordings.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    fetch = commands.add_parser("download", help="download ESC-50 (600 MB), check it, and put it where sweeps find it")
    fetch.add_argument("--to", type=Path, default=DEFAULT_TARGET, help="folder to make (default: %(default)s)")
    look = commands.add_parser("check", help="say what is right and wrong with a folder in ESC-50's layout")
    look.add_argument("folder", type=Path, help="holds meta/esc50.csv and audio/")
    build = commands.add_parser("make", help="copy one folder a class into ESC-50's layout, with folds, and check that")
    build.add_argument("folder", type=Path, help="holds a folder of sound files for each class")
    build.add_argument("out", type=Path, help="folder to make")
    build.add_argument(
        "--folds", type=int, choices=range(3, 11), default=5, metavar="N", help="3 to 10 (default: %(default)s)"
    )
    args = parser.parse_args()
    return run(args)


def run(args: argparse.Namespace) -> int:
    """Do what the command line asks for. Imports wait until here, so that the download does not wait for PyTorch."""
    from rich.console import Console

    console = Console()
    if args.command == "download":
        from esc50tune.data.download import download

        try:
            download(args.to, console=console)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("the same command goes on") from None
        return 0
    with busy("loading PyTorch"):
        from esc50tune.data.check import check
        from esc50tune.data.make import make

    if args.command == "check":
        return 0 if check(args.folder, console) else 2
    make(args.folder, args.out, args.folds, console)
    try:
        return 0 if check(args.out, console) else 2
    except KeyboardInterrupt:
        out = shown(args.out)
        raise KeyboardInterrupt(f"{out} is complete; `python -m esc50tune.data check {out}` checks it") from None


if __name__ == "__main__":
    end_with(main)
