"""Reads a results folder: its manifest and its events. `docs/results-folder.md` describes both."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import ResultsError

FORMAT = 1  # the newest format that this reader understands
# what the tables cannot do without, of the manifest and of each of its arms
KEYS = ("name", "data", "split", "preset", "arms", "reference", "trials")
ARM_KEYS = ("name", "against", "fixed", "space", "parameters")


@dataclass(frozen=True)
class Results:
    """A sweep's manifest and the events of its log, in order."""

    manifest: dict[str, Any]
    events: list[dict[str, Any]]

    @property
    def trials(self) -> pd.DataFrame:
        """One row a trial: what it was, how far it came, and its score if it ran its full schedule.

        Columns: trial, arm, default (it is the arm's first trial, its default setting), reason, epochs, seconds,
        train_acc, val_acc and val_loss of its last epoch, and score: `val_acc` if it finished, else missing.
        """
        rows: dict[int, dict[str, Any]] = {}
        for event in self.events:
            if event["event"] == "deal":
                first = all(row["arm"] != event["arm"] for row in rows.values())
                empty = {"reason": "unfinished", "epochs": 0, "seconds": 0.0}
                rows[event["trial"]] = {"arm": event["arm"], "default": first} | empty
            elif event["event"] == "epoch":
                row = rows[event["trial"]]
                row |= {name: event[name] for name in ("train_acc", "val_acc", "val_loss")}
                row |= {"epochs": event["epoch"], "seconds": row["seconds"] + event["seconds"]}
            elif event["event"] == "end":
                rows[event["trial"]]["reason"] = event["reason"]
        columns = ["arm", "default", "reason", "epochs", "seconds", "train_acc", "val_acc", "val_loss"]
        frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("trial").reset_index()
        frame["score"] = frame["val_acc"].astype(float).where(frame["reason"] == "finished")
        return frame


def load_results(folder: Path) -> Results:
    """Read the manifest and the events of `folder`.

    Raises:
        ResultsError: it is no results folder, or one of a newer format, or damaged.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise ResultsError(f"'{folder}' is no results folder: there is no manifest.json in it")
    try:
        manifest = json.loads(path.read_bytes())
    except ValueError:  # no JSON, or no UTF-8
        raise ResultsError(f"'{path}' is damaged: it is no JSON") from None
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if isinstance(version, int) and version > FORMAT:
        newer = f"'{folder}' has format {version}, this program reads up to {FORMAT}"
        raise ResultsError(f"{newer}; use a newer version of it")
    missing = ["format"] if version != FORMAT else [key for key in KEYS if key not in manifest]
    if missing:
        raise ResultsError(f"'{path}' is damaged: it has no {missing[0]}")
    missing = [key for arm in manifest["arms"] for key in ARM_KEYS if key not in arm]
    if missing:
        raise ResultsError(f"'{path}' is damaged: one of its arms has no {missing[0]}")
    return Results(manifest, read_events(folder / "events.jsonl"))


def read_events(path: Path) -> list[dict[str, Any]]:
    """Read the events of a log. A last line without its end is a write that was cut, and is left out.

    Raises:
        ResultsError: another line is damaged.
    """
    lines = path.read_bytes().split(b"\n") if path.is_file() else [b""]
    events = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            events.append(json.loads(line))
        except ValueError:  # no JSON, or no UTF-8
            raise ResultsError(f"'{path}', line {number} is damaged") from None
    return events
