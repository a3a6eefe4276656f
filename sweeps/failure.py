"""Why a trial failed, as far as it tells what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Failure:
    """One failure of a trial.

    Attributes:
        kind: 'lost' (its process), 'node' (its machine), 'memory', 'storage' (full, read-only, or gone: no fault of
            the trial), or 'error'.
        text: the traceback, or the line in which Ray says that it killed the trial for its memory.
    """

    kind: Literal["lost", "node", "memory", "storage", "error"]
    text: str

    @property
    def last_line(self) -> str:
        return self.text.strip().splitlines()[-1] if self.text.strip() else "no message"
