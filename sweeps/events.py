"""The sweep's append-only log `events.jsonl`. The driver alone writes it; everything else is a function of it.

`docs/results-folder.md` describes every event.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Event = dict[str, Any]
FILE = "events.jsonl"


class EventLog:
    """Appends events, each a whole line on the disk before anything acts on it, and tells its listeners.

    Args:
        folder: the results folder.
        listeners: called with each event after it is written.
    """

    def __init__(self, folder: Path, *listeners: Callable[[Event], None]) -> None:
        self._file = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._listeners = listeners
        self._seq = 0

    def append(self, event: str, **fields: Any) -> None:
        """Write one event: `deal`, `epoch` or `end`."""
        line = {"seq": self._seq, "event": event, **fields}
        # One write call, so that an interrupt leaves either the whole line or nothing of it.
        os.write(self._file, (json.dumps(line, allow_nan=False) + "\n").encode())
        os.fsync(self._file)
        self._seq += 1
        for listener in self._listeners:
            listener(line)

    def close(self) -> None:
        os.close(self._file)
