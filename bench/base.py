"""What a benchmark is given, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch


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
