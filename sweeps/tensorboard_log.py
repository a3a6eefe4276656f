"""Each trial as a run of TensorBoard's, in `tensorboard/ARM/NUMBER/`. The event log stays the record; this is for
watching.

A run's file is a function of the log: a sweep that goes on writes all of them anew, and nothing is doubled or missing.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

from sweeps.console import Console, say
from sweeps.driver import Dealer
from sweeps.events import Event
from sweeps.state import Trial
from sweeps.watched import metrics, run_name

FOLDER = "tensorboard"
FILE = "events.out.tfevents.0"  # TensorBoard looks for the part in the middle


class TensorBoardLog:
    """Writes what TensorBoard reads, first for the events that are there already. Where it fails, it says so once.

    Args:
        folder: the results folder, or that of its second phase.
        driver: what deals the trials; it has the log.
        console: where to say what went wrong.
    """

    def __init__(self, folder: Path, driver: Dealer, console: Console) -> None:
        self.folder, self.trials, self.console = folder / FOLDER, driver.state.trials, console
        self.start = time.time() - driver.log.elapsed  # what the sweep stood still is left out
        self._failed = False
        for trial in self.trials.values():
            self._try(trial, [trial.dealt, *trial.epochs])

    def on_event(self, event: Event) -> None:
        """Take in an event that the driver's state has taken in."""
        self._try(self.trials[event["trial"]], [event])

    def _try(self, trial: Trial, events: list[Event]) -> None:
        if self._failed:
            return
        try:
            self._write(trial, events)
        except Exception as error:  # whatever becomes of it, the sweep goes on
            self._failed = True
            why = f"{type(error).__name__}: {error}"
            say(
                self.console, f"TensorBoard's files cannot be written ({why}): the sweep goes on without them", "yellow"
            )

    def _write(self, trial: Trial, events: list[Event]) -> None:
        told = b"".join(record for event in events for record in self._records(event))
        if not told:
            return
        run = self.folder / run_name(trial.dealt, "/")
        begins = events[0]["event"] == "deal"
        if begins:
            run.mkdir(parents=True, exist_ok=True)
        # Emptied, not replaced: a TensorBoard that has it open reads on where it was.
        with (run / FILE).open("wb" if begins else "ab") as file:
            file.write(told)

    def _records(self, event: Event) -> list[bytes]:
        """Return what an event comes to in a run's file."""
        from tensorboardX.proto.event_pb2 import Event as Record  # late: few events of a sweep wait for it
        from tensorboardX.proto.summary_pb2 import Summary

        at = self.start + event["clock"]
        if event["event"] == "deal":
            first = Record(wall_time=at, file_version="brain.Event:2")
            return [framed(first), framed(Record(wall_time=at, summary=hyperparameters(event)))]
        if event["event"] == "epoch":
            values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics(event).items()]
            return [framed(Record(wall_time=at, step=event["epoch"], summary=Summary(value=values)))]
        return []


def hyperparameters(deal: Event) -> Any:
    """Return the summary that TensorBoard's table of hyperparameters reads: the arm, and every knob."""
    from tensorboardX.summary import hparams

    knobs = {
        knob: value if isinstance(value, (bool, int, float)) else str(value) for knob, value in deal["config"].items()
    }
    _, start, _ = hparams({"arm": deal["arm"], **knobs}, {})
    return start


def framed(record: Any) -> bytes:
    """Return a record as it stands in a TFRecord file: its length and its content, each with its checksum."""
    from tensorboardX.record_writer import masked_crc32c

    content = record.SerializeToString(deterministic=True)
    length = struct.pack("<Q", len(content))
    return b"".join(
        [length, struct.pack("<I", masked_crc32c(length)), content, struct.pack("<I", masked_crc32c(content))]
    )
