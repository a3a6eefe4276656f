"""Reading one recording: decode, mean of its channels, resample, pad or cut."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile
import torch
from torchaudio.functional import resample

RATES = range(100, 1_000_001)  # Hz, that recordings have
BLOCK = 1 << 18  # samples that are decoded at a time
LARGEST = 10**6  # product of a ratio of rates


@dataclass(frozen=True)
class Recording:
    """A decoded recording. `samples` [T] are floats in -1..1 at `rate` Hz; `channels` is the file's count."""

    samples: np.ndarray
    rate: int
    channels: int


class BadAudio(Exception):
    """A file that cannot be used; the message says why in a few words."""


@contextmanager
def opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open a sound file without its name: what it is, its content tells.

    By the name libsndfile would look for a part of `x.mp3` in the note that macOS leaves beside it as `._x.mp3`, and
    soundfile would ask for the rate of whatever ends in .raw.
    """
    with path.open("rb") as file, soundfile.SoundFile(file.fileno(), closefd=False) as sound:
        yield sound


def read_recording(path: Path) -> Recording:
    """Decode a whole file of any format that libsndfile reads.

    Raises:
        BadAudio: it is missing, empty, not audio, or cut short.
    """
    try:
        if not path.is_file():
            raise BadAudio("missing")
        if path.stat().st_size == 0:
            raise BadAudio("empty file")
        with opened(path) as sound:
            announced, rate, channels = sound.frames, sound.samplerate, sound.channels
            samples = np.concatenate([np.zeros(0, np.float32), *read_blocks(sound)])
    except (soundfile.SoundFileError, RuntimeError, ValueError):
        raise BadAudio("not audio, or damaged") from None
    except MemoryError:
        raise BadAudio("too long for this machine's memory") from None
    except OSError as error:
        raise BadAudio(error.strerror or str(error)) from None
    if rate not in RATES:
        raise BadAudio(f"a sample rate of {rate} Hz")
    if len(samples) == 0:
        raise BadAudio("no samples")
    if len(samples) < announced or is_cut_short(path):
        raise BadAudio("truncated")
    if not np.isfinite(samples).all():
        raise BadAudio("samples that are not numbers")
    return Recording(samples, rate, channels)


def read_blocks(sound: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """Yield the mean of the channels, block by block: a header may announce far more than there is."""
    while True:
        block = sound.read(max(1, BLOCK // sound.channels), dtype="float32", always_2d=True)
        if not len(block):
            return
        with np.errstate(invalid="ignore", over="ignore"):  # told by the caller, as samples that are not numbers
            yield block.mean(1)


def is_cut_short(path: Path) -> bool:
    """Tell what libsndfile keeps to itself: a WAV or AIFF file shorter than its header says, an Ogg stream cut off."""
    with path.open("rb") as file:
        head = file.read(8)
        size = path.stat().st_size
        if head[:4] in (b"RIFF", b"FORM"):
            announced = struct.unpack("<I" if head[:4] == b"RIFF" else ">I", head[4:8])[0]
            return announced < 0x7FFFF000 and announced + 8 > size + 1  # writers to a pipe leave a huge number
        if head[:4] == b"OggS":
            file.seek(max(0, size - 65_307))  # the largest Ogg page
            return not ends_ogg(file.read())
    return False


def ends_ogg(tail: bytes) -> bool:
    """Tell whether the last Ogg page in `tail` is marked as the stream's last and is all there."""
    start = tail.rfind(b"OggS")
    page = tail[start:] if start >= 0 else b""
    if len(page) < 27:  # the fixed part of a page's header
        return False
    segments = page[26]
    return bool(page[5] & 0x04) and len(page) >= 27 + segments + sum(page[27 : 27 + segments])


def fit_clip(recording: Recording, rate: int, length: int) -> np.ndarray:
    """Return `length` samples [T] at `rate` Hz as 16-bit integers: resampled, zeros appended or the end cut off."""
    samples = torch.from_numpy(recording.samples)
    if recording.rate != rate:
        samples = resample(samples, *ratio(recording.rate, rate))
    fitted = torch.zeros(length)
    kept = min(length, len(samples))
    fitted[:kept] = samples[:kept]
    return (fitted * 32_768.0).round().clamp(-32_768, 32_767).to(torch.int16).numpy()


def ratio(old: int, new: int) -> tuple[int, int]:
    """Return two rates in the ratio of `old` to `new`, in lowest terms.

    A resampler's filters take as much memory as the product of the two. Rates without a large common factor, such as
    44,099 and 44,100 Hz, would need gigabytes: theirs is the nearest ratio that does not, off by a thousandth at most.
    """
    exact = Fraction(old, new)
    return exact.limit_denominator(math.isqrt(int(LARGEST / exact))).as_integer_ratio()
