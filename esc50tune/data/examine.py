"""What sound files hold, found by decoding each one whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from esc50tune.data.audio import BadAudio, opened, read_recording
from esc50tune.data.lines import watched

SILENT = 1e-3  # of full scale: -60 dB
FULL = 32_767 / 32_768  # the largest sample of 16 bits
CLIPPED = 0.01  # share of samples at full scale; a sine that just fills the 16 bits has a third of that


@dataclass(frozen=True)
class Sound:
    """Facts of one file as a sweep hears it: the mean of its channels.

    Attributes:
        rate: Hz.
        channels: the file's count.
        form: its format and how it stores samples, such as "WAV PCM_16".
        seconds: its length.
        level: half the way from the lowest to the highest sample; 1 is full scale.
        full: share of samples at full scale or beyond.
        digest: hash of rate and samples; the same in every format that keeps them.
    """

    rate: int
    channels: int
    form: str
    seconds: float
    level: float
    full: float
    digest: str

    @property
    def is_silent(self) -> bool:
        return self.level < SILENT

    @property
    def is_clipped(self) -> bool:
        return self.full > CLIPPED


def examine(path: Path) -> Sound:
    """Decode a file and say what it holds.

    Raises:
        BadAudio: it cannot be used.
    """
    recording = read_recording(path)
    samples = recording.samples
    with opened(path) as sound:
        form = f"{sound.format} {sound.subtype}"
    return Sound(
        rate=recording.rate,
        channels=recording.channels,
        form=form,
        seconds=len(samples) / recording.rate,
        level=float(np.ptp(samples)) / 2,
        full=float(np.mean(np.abs(samples) >= FULL)),
        digest=hashlib.blake2b(b"%d " % recording.rate + samples.tobytes(), digest_size=16).hexdigest(),
    )


def examine_all(paths: Sequence[Path], console: Console) -> tuple[dict[Path, Sound], dict[Path, str]]:
    """Return the facts of the files that can be used, and of each other one why it cannot."""
    sounds, faults = {}, {}
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        found = watched(pool.map(examine_or_not, paths), len(paths), "listening", console)
        for path, sound in zip(paths, found, strict=True):
            if isinstance(sound, Sound):
                sounds[path] = sound
            else:
                faults[path] = str(sound)
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the others
    return sounds, faults


def examine_or_not(path: Path) -> Sound | BadAudio:
    try:
        return examine(path)
    except BadAudio as fault:
        return fault
