"""How `check` and `make` print: lines, names, counts, and a bar where there is a wait."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

from esc50tune.errors import printable

PATIENCE = 2.0  # seconds before there is a bar

T = TypeVar("T")


def say(console: Console, line: str, whole: bool = False) -> None:
    """Print a line as it is: brackets and numbers mean nothing, and no name in it talks to the terminal.

    A terminal breaks it between words, a file never; `whole`, no terminal either: it has a command in it.
    """
    console.print(printable(line), markup=False, highlight=False, soft_wrap=whole or not console.is_terminal)


def counted(number: int, what: str) -> str:
    """Return a number with its noun: 1 clip, 2,000 clips."""
    return f"{number:,} {what}" + "s" * (number != 1)


def listed(names: Sequence[str], most: int = 10) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def watched(items: Iterable[T], total: int, doing: str, console: Console | None = None) -> Iterator[T]:
    """Yield the items; once that has taken some seconds, show a bar on a terminal."""
    console = console or Console()
    progress = Progress(console=console, transient=True, disable=not console.is_interactive)
    task, began = progress.add_task(doing, total=total), time.monotonic()
    try:
        for item in items:
            if time.monotonic() - began > PATIENCE:
                progress.start()  # a second call does nothing
            progress.advance(task)
            yield item
    finally:
        progress.stop()
