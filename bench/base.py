"""What a benchmark is given, and what it returns."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from esc50tune.errors import UserError


@dataclass(frozen=True)
class Options:
    """How to measure.

    Attributes:
        device: where models run.
        rounds: how often each side is timed, after a first time that does not count.
    """

    device: torch.device
    rounds: int


@dataclass(frozen=True)
class Outcome:
    """What came of a benchmark.

    Attributes:
        title: what was measured.
        columns: heads of its table.
        rows: its cells, as they are printed.
        notes: how it was measured: what one must know to read the table.
        figures: what was measured, unrounded and JSON-ready; seconds, operations, bytes.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: tuple[str, ...]
    figures: dict[str, Any] = field(default_factory=dict)


def write_json(path: Path, told: dict[str, Any]) -> None:
    """Write figures where the command line said.

    Raises:
        UserError: nothing can be written there.
    """
    try:
        path.write_text(json.dumps(told, indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise UserError(f"--json: '{path}' cannot be written: {error.strerror}") from None
