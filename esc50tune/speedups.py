"""The speed-ups that change a result by rounding alone, and the switch by which tests and benchmarks do without them.

Each stands in one place, says there what it bought, and is chosen by shapes and types, never by a clock: the same trial
computes the same on the same machine. Their figures are of one thread of an AMD EPYC with AVX512-bf16, forward and
backward, torch 2.11.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

SPEEDUPS = ("depthwise", "pointwise", "optimizer", "resident", "features")
_off: set[str] = set()


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Compute as torch alone would. It acts on each pass through a model, and on optimizers made within it.

    Raises:
        ValueError: there is no such speed-up.
    """
    if unknown := set(names) - set(SPEEDUPS):
        raise ValueError(f"no speed-up is called {', '.join(sorted(unknown))}")
    before = _off.copy()
    _off.update(names)
    try:
        yield
    finally:
        _off.clear()
        _off.update(before)


def is_on(name: str) -> bool:
    return name not in _off


def cpu_dtype(name: str, x: Tensor) -> torch.dtype | None:
    """Return the type in which a layer computes `x` on a CPU; None elsewhere, and without the speed-up `name`."""
    if x.device.type != "cpu" or not is_on(name):
        return None
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
