"""Random streams that depend on nothing but a seed and a name, so that one method's draws never shift another's."""

from __future__ import annotations

import zlib

import numpy as np


def derive_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed for the stream `names` under the master `seed`; the same on every platform."""
    words = [zlib.crc32(name.encode()) if isinstance(name, str) else name for name in names]
    return int(np.random.SeedSequence([seed, len(words), *words]).generate_state(1, np.uint64)[0] >> 1)


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the random generator of the stream `names` under the master `seed`."""
    return np.random.default_rng(derive_seed(seed, *names))
