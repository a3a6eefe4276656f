"""How the scripts print lines and times, and read times."""

from __future__ import annotations

import os
import re
import sys

import rich.console

from analysis import table
from esc50tune.errors import UserError


class Console(rich.console.Console):
    """A console that falls silent when nobody reads it any more (`... | head`): the sweep and its tables go on."""

    @property
    def is_terminal(self) -> bool:
        """Tell whether what was printed can be printed over.

        A notebook gives what it runs with `!` a terminal that cannot, and FORCE_COLOR, which is not for log files; nor
        can the terminals of some editors.
        """
        plain = "JPY_PARENT_PID" in os.environ or os.environ.get("TERM", "").lower() in ("dumb", "unknown")
        return super().is_terminal and self.file.isatty() and not plain

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(console: Console, text: str, style: str | None = None, whole: bool = False) -> None:
    """Print a line as it is: brackets and numbers mean nothing; a terminal breaks it between words, a file never.

    Args:
        console: where to.
        text: the line.
        style: its colour in a terminal.
        whole: never broken: it has a command in it, which is copied.
    """
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=whole or not console.is_terminal)


def clock(seconds: float) -> str:
    """Return a duration as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def seconds(text: str) -> float:
    """Read a length of time: 90s, 45m, 2h, 1.5h.

    Raises:
        UserError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if match is None or not float(match[1]):
        raise UserError(f"--time-budget '{text}': give a length of time as 90s, 45m or 2h")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


def percent(share: float) -> str:
    """Return a share as percent with one decimal, rounded as the tables round it."""
    return f"{table.percent(share):.1f} %"
