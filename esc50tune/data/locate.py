"""Which folder `--data` means."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import soundfile

from esc50tune.data import DEFAULT_TARGET
from esc50tune.data.audio import opened
from esc50tune.data.dataset import Dataset, read_dataset
from esc50tune.data.lines import watched
from esc50tune.data.synthetic import stand_in_folder
from esc50tune.errors import UserError

STAND_IN_BANNER = (
    "no ESC-50 here; for the real one: `python -m esc50tune.data download` (600 MB), then the same command\n"
    "this run uses the EMBEDDED STAND-IN: procedural sounds, no recordings; its figures say nothing about ESC-50"
)


def find_dataset(data: str) -> Dataset:
    """Return the dataset that `--data` names: 'auto' or a folder in ESC-50's layout.

    'auto' is `$ESC50_ROOT`, else `data/ESC-50`, else the embedded stand-in, which is written first where it is missing.

    Raises:
        UserError: the folder is missing or wrong.
    """
    if data != "auto":
        return read_named(data)
    named = os.environ.get("ESC50_ROOT")
    if named:
        try:
            return read_named(named)
        except UserError as error:
            raise UserError(f"the environment variable ESC50_ROOT: {error}") from None
    if DEFAULT_TARGET.is_dir():
        return read_dataset(DEFAULT_TARGET)
    return read_dataset(stand_in_folder())


def read_named(folder: str) -> Dataset:
    try:
        return read_dataset(Path(folder).expanduser())
    except RuntimeError:
        raise UserError(f"cannot open the folder '{folder}': no user has that home") from None


def usual_seconds(dataset: Dataset) -> float:
    """Return a length that at least nine in ten readable clips do not exceed, in seconds, at most 5 s."""
    lengths = []
    for clip in watched(dataset.clips, len(dataset.clips), "measuring clips"):
        try:
            with opened(dataset.audio_path(clip)) as sound:
                lengths.append(sound.frames / sound.samplerate)
        except (soundfile.SoundFileError, RuntimeError, OSError):
            continue  # named, with all others, when the clips are decoded
    usual = float(np.quantile(lengths, 0.9, method="inverted_cdf")) if lengths else 5.0
    return max(min(round(usual, 2), 5.0), 0.05)
