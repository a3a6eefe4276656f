"""`python -m esc50tune.data download`: fetches the real ESC-50."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from esc50tune.data.download import DEFAULT_TARGET, download
from esc50tune.errors import UserError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m esc50tune.data", description="Look after the recordings.")
    commands = parser.add_subparsers(dest="command", required=True)
    fetch = commands.add_parser("download", help="download ESC-50 (600 MB), check it, and put it where sweeps find it")
    fetch.add_argument("--to", type=Path, default=DEFAULT_TARGET, help="folder to make (default: %(default)s)")
    args = parser.parse_args()
    try:
        download(args.to, console=Console())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
