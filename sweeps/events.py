"""The sweep's append-only log `events.jsonl`. The driver alone writes it; everything else is a function of it.

`docs/results-folder.md` describes every event.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from analysis.files import damaged, read_events
from esc50tune.errors import UserError

Event = dict[str, Any]
FILE = "events.jsonl"


class EventLog:
    """Appends events, each a whole line on the disk before anything acts on it, and tells its listeners.

    Args:
        folder: the results folder.
        listeners: called with each event after it is written, and first with those that are there already.

    Attributes:
        elapsed: seconds that the sweep has run, all its runs together.

    Raises:
        ResultsError: what is there is damaged.
    """

    def __init__(self, folder: Path, *listeners: Callable[[Event], None]) -> None:
        self.path = path = folder / FILE
        before = read_events(path)
        check_order(path, before)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        if before or path.stat().st_size:
            os.ftruncate(self._file, path.read_bytes().rfind(b"\n") + 1)  # a last line that was cut
        self.listeners = list(listeners)
        self._seq = len(before)
        self._start = time.monotonic() - (before[-1]["clock"] if before else 0.0)
        for event in before:
            self.tell(event)

    def append(self, event: str, **fields: Any) -> None:
        """Write one event: `deal`, `epoch`, `promote`, `retry` or `end`.

        Raises:
            UserError: it cannot be written, or is gone; then nothing of it is in the log.
        """
        line = {"seq": self._seq, "event": event, "clock": round(self.elapsed, 3), **fields}
        text, size = (json.dumps(line, allow_nan=False) + "\n").encode(), os.fstat(self._file).st_size
        self.check_place()
        try:
            # One write call, so that an interrupt leaves either the whole line or nothing of it.
            written = os.write(self._file, text)
            os.fsync(self._file)
        except OSError as error:
            written, why = 0, error.strerror
        else:
            why = "the disk is full"
        if written < len(text):
            with suppress(OSError):  # read-only by now: there is nothing of it
                os.ftruncate(self._file, size)
            raise UserError(f"'{self.path}' cannot be written: {why}")
        self._seq += 1
        self.tell(line)

    def check_place(self) -> None:
        """Look whether the log is still where it was: nobody would find what is written into one that was removed.

        Raises:
            UserError: it is not.
        """
        if not self.path.is_file() or not os.path.samestat(self.path.stat(), os.fstat(self._file)):
            raise UserError(f"'{self.path}' was moved, removed or replaced while it was written")

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._start

    def tell(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)

    def close(self) -> None:
        os.close(self._file)


def check_order(path: Path, events: list[Event]) -> None:
    """Look for lost, doubled and moved lines: what is written on would not be what was begun.

    Raises:
        ResultsError: there are some.
    """
    dealt = 0
    for number, event in enumerate(events):
        if event.get("seq") != number:
            raise damaged(path, f"line {number + 1} is not event {number}: lines were lost, doubled or moved")
        if event["event"] == "deal" and event["trial"] != dealt:
            raise damaged(path, f"line {number + 1} deals trial {event['trial']} in the turn of trial {dealt}")
        dealt += event["event"] == "deal"
