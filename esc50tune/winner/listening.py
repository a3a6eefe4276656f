"""From audio files to probabilities: each is heard as a clip of the training was, a long one in windows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import torch

from esc50tune.config import TrialConfig
from esc50tune.data.audio import BadAudio, fit_clip, read_recording
from esc50tune.trial import autocast
from esc50tune.winner.predictor import Predictor

BATCH = 8  # windows; EnCodec's encoder takes about 100 MB for each of 5 s


@dataclass(frozen=True)
class Window:
    """A stretch of a recording, as long as the clips of the training.

    Attributes:
        path, seconds: the file, and the length of its recording.
        start, end: of the stretch, in seconds from the recording's start.
        samples: 16-bit integers [T] at the model's rate, zeros where the recording is over.
    """

    path: Path
    seconds: float
    start: float
    end: float
    samples: np.ndarray


@dataclass(frozen=True)
class Heard:
    """What is heard in a file.

    Attributes:
        probabilities: of each class [K]; the mean over the windows.
        windows: start and end of each, in seconds, and its probabilities [K].
    """

    path: Path
    seconds: float
    probabilities: np.ndarray
    windows: list[tuple[float, float, np.ndarray]]


def hear(predictor: Predictor, paths: Sequence[Path], device: torch.device, failed: dict[Path, str]) -> Iterator[Heard]:
    """Yield what is heard in each of the files, in their order.

    Args:
        predictor: on `device`.
        paths: each once.
        device: where it computes.
        failed: takes up the files that cannot be used, and why.
    """
    windows = (window for path in paths for window in windows_or_none(path, predictor.config, failed))
    for path, group in groupby(scored(predictor, windows, device), key=lambda pair: pair[0].path):
        pairs = list(group)
        told = [(window.start, window.end, probabilities) for window, probabilities in pairs]
        mean = np.mean([probabilities for *_, probabilities in told], axis=0)
        yield Heard(path, pairs[0][0].seconds, mean, told)


def windows_or_none(path: Path, config: TrialConfig, failed: dict[Path, str]) -> Iterator[Window]:
    try:
        yield from cut(path, config)
    except BadAudio as error:
        failed[path] = str(error)


def cut(path: Path, config: TrialConfig) -> Iterator[Window]:
    """Yield the windows of a recording: evenly spaced from its start to its end, each half over the next or more.

    A recording that is no longer than a clip, or by 10 ms at most, as codecs leave it, is one window, padded or cut as
    in the training.

    Raises:
        BadAudio: the file cannot be used.
    """
    recording = read_recording(path)
    rate, length = config.sample_rate, round(config.sample_rate * config.clip_seconds)
    frames = round(len(recording.samples) * rate / recording.rate)
    whole = length if frames <= length + rate // 100 else frames
    samples, seconds = fit_clip(recording, rate, whole), len(recording.samples) / recording.rate
    count = 1 + math.ceil(2 * (whole - length) / length)
    for start in np.linspace(0, whole - length, count).round().astype(int).tolist():
        end = min((start + length) / rate, seconds)
        yield Window(path, seconds, start / rate, end, samples[start : start + length])


@torch.no_grad()
def scored(
    predictor: Predictor, windows: Iterable[Window], device: torch.device
) -> Iterator[tuple[Window, np.ndarray]]:
    """Yield each window with its probabilities [K]; several files share a batch."""
    left = iter(windows)
    while batch := list(islice(left, BATCH)):
        samples = torch.from_numpy(np.stack([window.samples for window in batch]))
        waves = samples[:, None].to(device).float().div_(32_768.0)
        with autocast(predictor.config, device):
            logits = predictor(waves)
        yield from zip(batch, logits.double().softmax(-1).cpu().numpy(), strict=True)
