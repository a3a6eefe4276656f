"""Reads the files of a results folder: manifests and logs. `docs/results-folder.md` describes both."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from analysis.errors import ResultsError

FORMAT = 1  # the newest format that this reader understands


def read_manifest(path: Path, keys: Iterable[str]) -> dict[str, Any]:
    """Read a manifest that has `keys`.

    Raises:
        ResultsError: it has a newer format, or is damaged.
    """
    try:
        manifest = json.loads(path.read_bytes())
    except ValueError:  # no JSON, or no UTF-8
        raise ResultsError(f"'{path}' is damaged: it is no JSON") from None
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if isinstance(version, int) and version > FORMAT:
        newer = f"'{path.parent}' has format {version}, this program reads up to {FORMAT}"
        raise ResultsError(f"{newer}; use a newer version of it")
    missing = ["format"] if version != FORMAT else [key for key in keys if key not in manifest]
    if missing:
        raise ResultsError(f"'{path}' is damaged: it has no {missing[0]}")
    return manifest


def require(path: Path, parts: Iterable[dict[str, Any]], keys: Iterable[str], name: str) -> None:
    """Check that each of a manifest's parts has `keys`.

    Raises:
        ResultsError: one lacks one.
    """
    missing = [key for part in parts for key in keys if key not in part]
    if missing:
        raise ResultsError(f"'{path}' is damaged: one of its {name} has no {missing[0]}")


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


def is_cut(path: Path) -> bool:
    """Tell whether the log's last line is a write that was cut."""
    return path.is_file() and path.read_bytes()[-1:] not in (b"", b"\n")
