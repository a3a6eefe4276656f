"""What commands share: bad input ends in one sentence, and a model is named in one way."""

from __future__ import annotations

import argparse
import difflib
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from esc50tune.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
OWN = ("esc50tune", "sweeps", "analysis", "bench")  # packages that no installation brings
OLDEST = (3, 10)  # Python

if sys.version_info[:2] < OLDEST:  # here, before anything is imported that an older one cannot read
    was = ".".join(map(str, sys.version_info[:2]))
    print(
        f"error: Python 3.10 to 3.13 is needed, and {sys.executable} is {was}; with another one installed, for "
        "instance: `make PYTHON=python3.12 sweep`, then `source .venv/bin/activate`",
        file=sys.stderr,
    )
    sys.exit(2)


class OneSentenceParser(argparse.ArgumentParser):
    """Says what is wrong in one sentence instead of printing the usage before it; what a mistyped flag may be."""

    def error(self, message: str) -> NoReturn:
        unknown = message.partition("unrecognized arguments: ")[2].partition(" ")[0].partition("=")[0]
        close = difflib.get_close_matches(unknown, self._option_string_actions, n=1)
        raise UserError(message + (f"; did you mean '{close[0]}'?" if close else " (see --help)"))


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


@contextmanager
def busy(doing: str) -> Iterator[None]:
    """Show on a terminal what goes on in a wait of seconds. Nothing may be printed in it."""
    from rich.console import Console  # here, so that a package that is not there is told in a sentence

    with Console(stderr=True).status(doing):
        yield


def installing(package: str) -> str:
    """Return what to do where a package cannot be imported, in a sentence."""
    environment = ROOT / ".venv"
    if (environment / "installed").is_file() and Path(sys.prefix).resolve() != environment.resolve():
        how = f"`source {shown(environment / 'bin' / 'activate')}` takes the environment that `make` made"
    else:
        how = f"`pip install -r {shown(ROOT / 'requirements.txt')}` brings it, or `make sweep`, into .venv"
    return f"the package '{package}' is not installed for {sys.executable}: {how}; then the same command again"


def shown(path: Path) -> str:
    """Return a path as a user would type it: from here on where it is below, with quotes where it has blanks."""
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def end_with(run: Callable[[], int], *mistakes: type[Exception]) -> NoReturn:
    """Run and exit with its code; bad input, or a package that is not installed, ends with one sentence on standard
    error and exit code 2.

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
        package = (error.name or "").partition(".")[0]
        if package in ("", *OWN):
            raise
        print(f"error: {installing(package)}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt as stop:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("; ".join(["interrupted", *map(str, stop.args)]), file=sys.stderr)
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains while it closes stdout
        code = 1
    sys.exit(code)
