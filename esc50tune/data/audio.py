"""Reading one recording: decode, mean of its channels, resample, pad or cut."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torchaudio.functional import resample


@dataclass(frozen=True)
class Recording:
    """A decoded recording. `samples` [T] are floats in -1..1 at `rate` Hz; `channels` is the file's count."""

    samples: np.ndarray
    rate: int
    channels: int


class BadAudio(Exception):
    """A file that cannot be used; the message says why in a few words."""


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
        with soundfile.SoundFile(path) as file:
            announced, rate, channels = file.frames, file.samplerate, file.channels
            samples = file.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError):
        raise BadAudio("not audio, or damaged") from None
    except (ValueError, MemoryError):  # it announces more samples than any array can have, or does not know how many
        raise BadAudio("no usable length in its header") from None
    except OSError as error:
        raise BadAudio(error.strerror or str(error)) from None
    if len(samples) == 0:
        raise BadAudio("no samples")
    if len(samples) < announced or is_cut_short(path):
        raise BadAudio("truncated")
    if not np.isfinite(samples).all():
        raise BadAudio("samples that are not numbers")
    return Recording(samples.mean(1), rate, channels)


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
        samples = resample(samples, recording.rate, rate)
    fitted = torch.zeros(length)
    kept = min(length, len(samples))
    fitted[:kept] = samples[:kept]
    return (fitted * 32_768.0).round().clamp(-32_768, 32_767).to(torch.int16).numpy()
