"""The embedded stand-in: seeded procedural sounds in ESC-50's layout, for trying the system without recordings.

Ten classes of 40 clips, 8 a fold, differ as environmental sounds do: by spectrum, by how it moves, by rhythm. Level,
onset, background and filtering vary within every class and tell nothing about it. Nothing learned from these sounds
says anything about real ones, and everything made from them is marked so.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import soundfile
from filelock import FileLock

from esc50tune.data.cache import cache_root
from esc50tune.data.dataset import COLUMNS, MARK
from esc50tune.data.lines import watched
from esc50tune.errors import UserError
from esc50tune.seeds import stream

VERSION = 1  # raise it whenever a byte of the sounds changes
RATE = 16_000
SECONDS = 2.0
FOLDS = 5
SIGNAL_TO_NOISE_DB = (8.0, 30.0)
SOURCE_OF_TAKE = (0, 0, 1, 1, 2, 3, 4, 5)  # for the 8 clips of a class and fold: two sources have two takes each


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def noise_band(rng: np.random.Generator, size: int, centre: float, octaves: float) -> np.ndarray:
    """Gaussian noise whose spectrum is a bell of `octaves` width around `centre` Hz."""
    frequency = np.fft.rfftfreq(size, 1.0 / RATE)
    distance = np.log2(np.maximum(frequency, 1.0) / centre) / octaves
    spectrum = rng.normal(size=len(frequency)) + 1j * rng.normal(size=len(frequency))
    return np.fft.irfft(spectrum * np.exp(-0.5 * distance**2), size)


def clicks(rng: np.random.Generator, t: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """A damped resonance at each of `moments`, in seconds."""
    pitch, decay = log_uniform(rng, 800, 3_500), log_uniform(rng, 0.004, 0.03)
    sound = np.zeros_like(t)
    for moment in moments[(moments >= 0) & (moments < t[-1])]:
        start = int(moment * RATE)
        age = t[: len(t) - start]
        sound[start:] += rng.uniform(0.5, 1.0) * np.exp(-age / decay) * np.sin(2 * np.pi * pitch * age)
    return sound


def partials(rng: np.random.Generator, turns: np.ndarray) -> np.ndarray:
    """Two to seven harmonics of a tone whose phase, in turns, is given; weaker upwards."""
    slope = rng.uniform(0.5, 1.5)
    ranks = range(1, int(rng.integers(3, 9)))
    return sum(np.sin(2 * np.pi * (k * turns + rng.uniform())) / k**slope for k in ranks)


def hum(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    return partials(rng, log_uniform(rng, 80, 350) * t)


def siren(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    centre, octaves, speed = log_uniform(rng, 350, 1_100), rng.uniform(0.1, 0.4), log_uniform(rng, 0.7, 4)
    frequency = centre * 2 ** (octaves * np.sin(2 * np.pi * (speed * t + rng.uniform())))
    return partials(rng, np.cumsum(frequency) / RATE)


def chirps(rng: np.random.Generator, t: np.ndarray, direction: int) -> np.ndarray:
    """Short sweeps, up (1) or down (-1), with pauses between them."""
    share, octaves = rng.uniform(0.3, 0.8), direction * rng.uniform(0.6, 1.5)
    place = (t / log_uniform(rng, 0.2, 0.7) + rng.uniform()) % 1.0 / share
    frequency = log_uniform(rng, 800, 2_200) * 2 ** (octaves * (place - 0.5))
    return np.sin(2 * np.pi * np.cumsum(frequency) / RATE) * np.where(place < 1, np.sin(np.pi * place), 0.0)


def wind(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    gusts = 1 + rng.uniform(0.3, 0.9) * np.sin(2 * np.pi * (log_uniform(rng, 0.3, 1.5) * t + rng.uniform()))
    return gusts * noise_band(rng, len(t), log_uniform(rng, 120, 500), rng.uniform(0.6, 1.2))


def rain(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    return noise_band(rng, len(t), log_uniform(rng, 900, 4_000), rng.uniform(0.9, 1.8))


def clock(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    period = log_uniform(rng, 0.12, 0.5)
    return clicks(rng, t, np.arange(-1, SECONDS, period) + rng.uniform(0, period))


def fire(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    return clicks(rng, t, rng.uniform(0, SECONDS, int(log_uniform(rng, 5, 18))))


def saw(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    """Noise that swells in strokes."""
    stroke = np.sin(np.pi * ((t * log_uniform(rng, 1.5, 7) + rng.uniform()) % 1.0)) ** rng.uniform(1, 4)
    return stroke * noise_band(rng, len(t), log_uniform(rng, 600, 3_000), rng.uniform(0.5, 1.2))


def bell(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    """Inharmonic partials that die away from one stroke, or two."""
    sound, base, decay = np.zeros_like(t), log_uniform(rng, 250, 1_000), log_uniform(rng, 0.3, 1.0)
    ratios = np.cumprod(np.concatenate([[1.0], rng.uniform(1.15, 1.7, 5)]))
    for start in sorted(rng.uniform(0.0, 0.6, int(rng.integers(1, 3)))):
        age = np.maximum(t - start, 0.0)
        ring = sum(np.sin(2 * np.pi * base * r * age) * np.exp(-age * r / decay) / r for r in ratios)
        sound += ring * (t >= start)
    return sound


SOUNDS: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "hum": hum,
    "siren": siren,
    "rising chirps": lambda rng, t: chirps(rng, t, 1),
    "falling chirps": lambda rng, t: chirps(rng, t, -1),
    "wind": wind,
    "rain": rain,
    "clock": clock,
    "fire": fire,
    "saw": saw,
    "bell": bell,
}


def make_clip(name: str, fold: int, take: int) -> np.ndarray:
    """Return one clip, int16 [T] at `RATE`: a sound of class `name` under nuisances that say nothing of the class."""
    source = stream(VERSION, name, fold, "source", SOURCE_OF_TAKE[take])
    rng = stream(VERSION, name, fold, "take", take)
    t = np.arange(int(RATE * SECONDS)) / RATE
    sound = SOUNDS[name](source, t)
    sound = coloured(rng, np.roll(sound, rng.integers(len(t))))  # the onset may be anywhere
    signal_to_noise = rng.uniform(*SIGNAL_TO_NOISE_DB)
    background = noise_band(rng, len(t), log_uniform(rng, 60, 4_000), rng.uniform(1.0, 4.0))
    clip = sound / sound.std() + background / background.std() * 10 ** (-signal_to_noise / 20)
    clip *= 10 ** (rng.uniform(-26, -1) / 20) / np.abs(clip).max()
    return np.rint(clip * 32_767).astype(np.int16)


def coloured(rng: np.random.Generator, sound: np.ndarray) -> np.ndarray:
    """Filter as a room, a microphone or a wall would: a smooth random curve of a few dB, and a low-pass."""
    frequency = np.maximum(np.fft.rfftfreq(len(sound), 1.0 / RATE), 20.0)
    octave = np.log2(frequency / 20.0)
    gain = sum(rng.uniform(-3, 3) * np.cos(np.pi * k * octave / octave[-1] + rng.uniform(0, 6.28)) for k in (1, 2, 4))
    cut = log_uniform(rng, 2_000, 8_000)
    return np.fft.irfft(np.fft.rfft(sound) * 10 ** (gain / 20) / (1 + (frequency / cut) ** 4), len(sound))


def write_stand_in(root: Path) -> None:
    """Write the 400 clips and `meta/esc50.csv` below `root`."""
    (root / "audio").mkdir(parents=True)
    (root / "meta").mkdir()
    rows = []
    every = list(product(range(1, FOLDS + 1), enumerate(SOUNDS), enumerate(SOURCE_OF_TAKE)))
    for fold, (target, name), (take, source) in watched(every, len(every), "making sounds"):
        src_file = f"{fold}{target}{source}"
        filename = f"{fold}-{src_file}-{chr(65 + take)}-{target}.wav"
        soundfile.write(root / "audio" / filename, make_clip(name, fold, take), RATE, subtype="PCM_16")
        rows.append((filename, fold, target, name, src_file))
    with (root / "meta" / "esc50.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    (root / MARK).write_text(json.dumps({"what": "procedural stand-in, no recordings", "version": VERSION}))


def stand_in_folder() -> Path:
    """Return the folder of the stand-in; write it first where it is missing. Safe among processes."""
    folder = cache_root() / f"stand-in-v{VERSION}"
    try:
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with (
                FileLock(f"{folder}.lock"),
                tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as made,
            ):
                if not folder.is_dir():
                    write_stand_in(Path(made) / "new")
                    (Path(made) / "new").rename(folder)
    except (OSError, soundfile.SoundFileError) as error:
        raise UserError(
            f"cannot write the stand-in '{folder}': {error}; make room or point ESC50TUNE_CACHE elsewhere"
        ) from None
    return folder
