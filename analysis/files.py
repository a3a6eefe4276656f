"""Reads the files of a results folder: manifests and logs. `docs/results-folder.md` describes both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from analysis.errors import ResultsError
from analysis.shapes import BEGUN, EVENT, Shape, arm_name, misfit, whole

FORMAT = 1  # the newest format that this reader understands


class Damage(NamedTuple):
    """A line of a log that cannot be used: its number, 1 first, why, and the arm that it names, if any."""

    line: int
    why: str
    arm: str = ""

    def __str__(self) -> str:
        return f"line {self.line} is damaged: {self.why}"


def damaged(path: Path, why: str) -> ResultsError:
    return ResultsError(f"'{path}' is damaged: {why}")


def is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:  # no permission, or a name too long
        raise ResultsError(f"'{path}' cannot be read: {error.strerror}") from None


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ResultsError(f"'{path}' cannot be read: {error.strerror}") from None


def read_manifest(path: Path, shape: dict[str, Shape]) -> dict[str, Any]:
    """Read a manifest of this shape.

    Raises:
        ResultsError: it has a newer format, or is damaged.
    """
    try:
        manifest = json.loads(read_bytes(path))
        json.dumps(manifest, allow_nan=False)  # JSON has no NaN, nor numbers as large as 1e999; Python reads them
    except (ValueError, RecursionError):  # no JSON, no UTF-8, or thousands of brackets
        raise damaged(path, "it is no JSON") from None
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if whole(version) and version > FORMAT:
        newer = f"'{path.parent}' has format {version}, this program reads up to {FORMAT}"
        raise ResultsError(f"{newer}; use a newer version of it")
    fault = "it has no format" if version != FORMAT else misfit(manifest, shape)
    if fault:
        raise damaged(path, fault)
    return manifest


def read_events(path: Path, shapes: dict[str, Shape] = BEGUN) -> list[dict[str, Any]]:
    """Read the events of a log. A last line without its end is a write that was cut, and is left out.

    Args:
        path: the log; it may be missing.
        shapes: of its events, by their kinds; the others are not looked into.

    Raises:
        ResultsError: another line is damaged.
    """
    events, damages = read_sound_events(path, shapes)
    if damages:
        raise ResultsError(f"'{path}', {damages[0]}")
    return events


def read_sound_events(path: Path, shapes: dict[str, Shape]) -> tuple[list[dict[str, Any]], list[Damage]]:
    """Return the events of a log, as `read_events` does, but for those of damaged lines; these lines are told beside
    them."""
    lines = read_bytes(path).split(b"\n") if is_file(path) else [b""]
    events, damages = [], []
    arms: dict[int, str] = {}
    epochs: dict[int, int] = {}
    for number, line in enumerate(lines[:-1], start=1):
        event, fault = read_event(line, shapes)
        if fault := fault or out_of_turn(event, arms, epochs):
            named = event.get("arm") if isinstance(event, dict) else None
            damages.append(Damage(number, fault, named if arm_name(named) else ""))
        else:
            events.append(event)
    return events, damages


def read_event(line: bytes, shapes: dict[str, Shape]) -> tuple[Any, str]:
    """Return what a line of a log holds, and what is wrong with it, in words; nothing where all is well."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None, "it is no JSON"
    return event, misfit(event, EVENT) or misfit(event, shapes.get(event["event"], EVENT))


def out_of_turn(event: dict[str, Any], arms: dict[int, str], epochs: dict[int, int]) -> str:
    """Return why an event cannot follow those before it, in words; nothing where it can, and then it counts as one.

    Args:
        event: it has its shape.
        arms: of the trials that were dealt.
        epochs: of those that had any, the last.
    """
    trial = event["trial"]
    if event["event"] == "deal":
        if trial in arms:
            return f"trial {trial} was dealt before"
        arms[trial] = event["arm"]
    if event.get("arm", arms.get(trial)) != arms.get(trial) or trial not in arms:
        return f"no trial {trial} of this arm was dealt"
    if event["event"] == "epoch":
        if event["epoch"] != epochs.get(trial, event["epoch"] - 1) + 1:
            return f"epoch {event['epoch']} of trial {trial} does not follow epoch {epochs[trial]}"
        epochs[trial] = event["epoch"]
    if event["event"] == "end" and event["reason"] == "finished" and trial not in epochs:
        return f"trial {trial} finished without an epoch"
    return ""


def is_cut(path: Path) -> bool:
    """Tell whether the log's last line is a write that was cut."""
    return is_file(path) and read_bytes(path)[-1:] not in (b"", b"\n")
