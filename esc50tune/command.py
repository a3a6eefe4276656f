"""What commands share: bad input ends in one sentence, and a model is named in one way."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from esc50tune.errors import UserError

OWN = ("", "esc50tune", "sweeps", "analysis", "bench")  # modules whose absence is a mistake in the code


class OneSentenceParser(argparse.ArgumentParser):
    """Says what is wrong in one sentence instead of printing the usage before it."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see --help)")


def at_least(least: int) -> Callable[[str], int]:
    """Return a reader of whole numbers that are not below `least`."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}' must be a whole number of at least {least}")
        return int(text)

    return read


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", type=Path, metavar="RESULTS", help="results folder of a confirmed sweep, results/NAME; or a checkpoint"
    )
    parser.add_argument("--search", action="store_true", help="take the search's best trial, confirmed or not")


def not_installed(package: str | None) -> str:
    """Say what to do where a package is missing: most often another Python runs than the one that has them."""
    return (
        f"the package '{package}' is not installed for {sys.executable}: `source .venv/bin/activate` where `make` made "
        "that environment, else `pip install -r requirements.txt`"
    )


def end_with(run: Callable[[], int], *mistakes: type[Exception]) -> NoReturn:
    """Run and exit with its code; bad input ends with one sentence on standard error and exit code 2.

    Args:
        mistakes: what else than a `UserError` is raised for bad input.
    """
    try:
        code = run()
        sys.stdout.flush()  # here, where a reader that has gone is not yet a traceback
    except (UserError, *mistakes) as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in OWN:
            raise
        print(f"error: {not_installed(error.name)}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt as stop:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("; ".join(["interrupted", *map(str, stop.args)]), file=sys.stderr)
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains while it closes stdout
        code = 1
    sys.exit(code)
