"""Why a trial failed, as far as it tells what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from esc50tune.errors import printable

LONG = 250  # characters; what torch says of a GPU without memory has 600


@dataclass(frozen=True)
class Failure:
    """One failure of a trial.

    Attributes:
        kind: 'lost' (its process), 'node' (its machine), 'memory', 'storage' (full, read-only, or gone: no fault of
            the trial), or 'error'.
        text: the traceback; of what was no error of the trial's own code, a sentence.
    """

    kind: Literal["lost", "node", "memory", "storage", "error"]
    text: str

    @property
    def summary(self) -> str:
        return summary(self.text)


def summary(text: str) -> str:
    """Return the line of a traceback that says what was raised, or the last line of what is none, in print."""
    _, frame, behind = text.rpartition('\n  File "')
    lines = [line for line in behind.splitlines() if line.strip()]
    # What was raised may have several lines. Before them stand the rest of the last frame and its code.
    told = [line for line in lines[1:] if not line.startswith("  ")] if frame else lines[-1:]
    line = printable(told[0]) if told else "no message"
    return line if len(line) <= LONG else f"{line[:LONG]} ..."
