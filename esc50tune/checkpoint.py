"""All that a trial needs to go on exactly where it stopped. Random streams start anew each epoch, so none is kept."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from esc50tune.files import write_whole


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors and plain values) to `path` in one step: a reader finds the old file or the new one.

    Raises:
        OSError: it cannot be written; then the old one is there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    torch.save(state, content)  # into a file, it raises a RuntimeError that does not say why that cannot be written
    write_whole(path, content.getbuffer())


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain values are ever unpickled."""
    return torch.load(path, map_location=device, weights_only=True)
