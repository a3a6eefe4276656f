"""The sweep's append-only log `events.jsonl`. The driver alone writes it; everything else is a function of it.

`docs/results-folder.md` describes every event.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis.files import read_events

Event = dict[str, Any]
FILE = "events.jsonl"


class EventLog:
    """Appends events, each a whole line on the disk before anything acts on it, and tells its listeners.

    Args:
        folder: the results folder.
        listeners: called with each event after it is written, and first with those that are there already.

    Raises:
        ResultsError: what is there is damaged.
    """

    def __init__(self, folder: Path, *listeners: Callable[[Event], None]) -> None:
        path = folder / FILE
        before = read_events(path)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        if before or path.stat().st_size:
            os.ftruncate(self._file, path.read_bytes().rfind(b"\n") + 1)  # a last line that was cut
        self.listeners = list(listeners)
        self._seq = len(before)
        for event in before:
            self.tell(event)

    def append(self, event: str, **fields: Any) -> None:
        """Write one event: `deal`, `epoch` or `end`."""
        line = {"seq": self._seq, "event": event, **fields}
        # One write call, so that an interrupt leaves either the whole line or nothing of it.
        os.write(self._file, (json.dumps(line, allow_nan=False) + "\n").encode())
        os.fsync(self._file)
        self._seq += 1
        self.tell(line)

    def tell(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)

    def close(self) -> None:
        os.close(self._file)
