"""Recordings: find them, check them, decode them once, split them by fold."""

from pathlib import Path

DEFAULT_TARGET = Path("data/ESC-50")  # where the download puts the real one, and sweeps look for it
