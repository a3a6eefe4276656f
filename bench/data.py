"""What decoding once into the cache is worth: in time, beside decoding by item, and in memory, beside plain copies."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader
from torchaudio.transforms import Resample

from bench import memory
from bench.base import Options, Outcome
from bench.plain_loop import Item, WavFiles
from bench.study import study_config, write_noise
from bench.timing import alternate, ratios, shown_ratios, shown_seconds
from esc50tune.data.cache import ClipCache, open_cache
from esc50tune.data.clips import ClipSet, batches
from esc50tune.data.dataset import Dataset

CLIPS, SECONDS, BATCH = 100, 5.0, 16
RECORDED, REDUCED = 44_100, 8_000  # Hz: of the recordings and the original study; of the preset `small`
PROCESSES = (1, 2, 4)
OF_MEMORY = (
    "Memory: what processes that hold all clips hold more than without them; what they share is counted once",
    "(the sum of their PSS, libraries left out). Without the cache each has its copy, of 16 bits a sample as in the",
    "cache; one in floats would take twice as much. At 44,100 Hz.",
)


class ResampledFiles(WavFiles):
    """Recordings, decoded and resampled one by one."""

    def __init__(self, files: Sequence[Path], labels: Tensor, rate: int) -> None:
        super().__init__(files, labels)
        self.resample = Resample(RECORDED, rate)  # passes on what has the rate already

    def __getitem__(self, i: int) -> Item:
        wave, label = super().__getitem__(i)
        return self.resample(wave), label


def run(options: Options) -> Outcome:
    """Write clips of noise; time their reading, and look at processes that hold them."""
    with TemporaryDirectory() as made:
        folder = Path(made)
        config = study_config("convnext-raw", options.device, batch_size=CLIPS // 2, clip_seconds=SECONDS)
        dataset = write_noise(folder, config)
        figures: dict[str, Any] = {"seconds": {}, "bytes": {}}
        for rate in (RECORDED, REDUCED):
            figures["seconds"][rate] = time_reading(dataset, rate, folder / f"{rate}", options)
        if memory.TOLD:
            cache = opened(dataset, RECORDED, folder / "held").folder
            figures["bytes"] = {count: held_by_all(cache, count) for count in PROCESSES}
    return outcome(figures)


def opened(dataset: Dataset, rate: int, root: Path) -> ClipCache:
    """Open the cache below `root` as a sweep does that starts: the recordings are hashed, and decoded if need be."""
    with patch.dict(os.environ, ESC50TUNE_CACHE=str(root)):
        return open_cache(replace(dataset), rate, SECONDS)  # a fresh object: it keeps its fingerprint


def time_reading(dataset: Dataset, rate: int, root: Path, options: Options) -> dict[str, dict[str, list[float]]]:
    """Return each round's seconds, from a start to the first batch and of all clips: without the cache and with."""
    clips = ClipSet(opened(dataset, rate, root / "kept"), dataset.folds)
    files = [dataset.audio_path(clip) for fold in dataset.folds for clip in dataset.clips if clip.fold == fold]
    loader = DataLoader(ResampledFiles(files, clips.labels, rate), BATCH)
    fresh = (root / f"{number}" for number in itertools.count())

    def start(where: Path) -> None:
        ClipSet(opened(dataset, rate, where), dataset.folds).batch(range(BATCH), options.device)

    def epoch() -> None:
        for indices in batches(BATCH, range(len(clips))):
            clips.batch(indices, options.device)

    def plain_epoch() -> None:
        for waves, labels in loader:
            waves.to(options.device), labels.to(options.device)

    starts = {"without": lambda: start(next(fresh)), "cached": lambda: start(root / "kept")}
    return {"start": alternate(starts, options), "epoch": alternate({"without": plain_epoch, "cached": epoch}, options)}


def held_by_all(folder: Path, count: int) -> dict[str, int]:
    """Return the bytes that `count` processes hold together, by the way in which they hold the clips.

    What they hold without any clips is taken off.
    """
    context = get_context("spawn")
    pipes, processes = [], []
    for _ in range(count):
        pipe, theirs = context.Pipe()
        process = context.Process(target=hold, args=(folder, theirs), daemon=True)
        process.start()
        theirs.close()  # so that a process that ends early is noticed
        pipes.append(pipe)
        processes.append(process)
    found = {}
    for way in WAYS:
        for pipe in pipes:
            pipe.recv()
        found[way] = sum(memory.held_by(process.pid, folder) for process in processes)
        for pipe in pipes:
            pipe.send("go on")
    for process in processes:
        process.join()
    return {way: found[way] - found["nothing"] for way in WAYS if way != "nothing"}


def hold(folder: Path, pipe: Connection) -> None:
    """Hold the clips in one way after the other, each until this process is told to go on."""
    for way in WAYS.values():
        held = way(folder)
        pipe.send("holding")
        pipe.recv()
        del held


def nothing(folder: Path) -> None:
    """Hold no clips."""


def mapped(folder: Path) -> ClipSet:
    """Open the cache as a trial does, and read every clip once."""
    cache = ClipCache.at(folder)
    clips = ClipSet(cache, list(cache.labels))
    for i in range(len(clips)):
        clips.waves([i])
    return clips


def copied(folder: Path) -> list[np.ndarray]:
    """Load every clip."""
    return [np.load(path) for path in folder.glob("fold-*.npy")]


WAYS = {"nothing": nothing, "cached": mapped, "copies": copied}


def outcome(figures: dict[str, Any]) -> Outcome:
    rows = [
        time_row(what, rate, told[key])
        for rate, told in figures["seconds"].items()
        for what, key in (("first batch", "start"), ("epoch", "epoch"))
    ]
    rows += [memory_row(count, told) for count, told in figures["bytes"].items()]
    return Outcome(
        f"Data: {CLIPS} clips of {SECONDS:g} s, without the cache and with it",
        ("", "without", "cached", "times less"),
        rows,
        (
            "Medians of the rounds; in brackets the least and the greatest ratio of a round. Sides take turns.",
            "Recordings are WAV of 44,100 Hz, in the system's file cache. First batch: from a start, without that of",
            "Python. Without the cache all clips are decoded into it, on all cores; with it the recordings are",
            f"hashed, as at any start. Epoch: all clips in batches of {BATCH}. Without the cache each is decoded, and",
            "resampled to another rate, in its turn, as in a plain loop.",
            *(OF_MEMORY if figures["bytes"] else (memory.LEFT_OUT,)),
        ),
        figures,
    )


def time_row(what: str, rate: int, seconds: dict[str, list[float]]) -> tuple[str, ...]:
    without, cached = seconds["without"], seconds["cached"]
    times = (shown_seconds(median(without)), shown_seconds(median(cached)))
    return f"{what}, {rate:,} Hz", *times, shown_ratios(ratios(without, cached))


def memory_row(count: int, held: dict[str, int]) -> tuple[str, ...]:
    sizes = (f"{held['copies'] / 1e6:.1f} MB", f"{held['cached'] / 1e6:.1f} MB")
    return f"memory of {count} process{'es' * (count > 1)}", *sizes, f"{held['copies'] / held['cached']:.2f}"
