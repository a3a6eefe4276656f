"""Time and memory as a study grows: of decoding with the clips, of resuming, dealing and reporting with the trials."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from analysis.__main__ import main as report
from bench import memory
from bench.base import Options, Outcome
from bench.made_sweep import EPOCHS, NAMES, epoch_result, made_arms, write_sweep
from bench.study import study_config, write_noise
from bench.timing import shown_seconds
from esc50tune.data.cache import ClipCache, decode_all
from esc50tune.data.clips import ClipSet
from esc50tune.data.dataset import Dataset
from sweeps.driver import Driver
from sweeps.events import EventLog
from sweeps.resume import read_sweep
from sweeps.search import next_point
from sweeps.simulated_search import UnwrittenLog
from sweeps.state import SweepState

CLIPS = (100, 200, 400)
SECONDS = 1.0  # of a clip
TRIALS = (100, 1_000, 10_000)

Spent = dict[str, float]  # seconds, and bytes where they are told
Grown = dict[str, dict[int, Spent]]  # what was done: how many there were: what it took


def run(options: Options) -> Outcome:
    """Do everything once at each size: the largest takes a while."""
    grown: Grown = {}
    with TemporaryDirectory() as made:
        for clips in CLIPS:
            folder = Path(made) / f"{clips}-clips"
            folder.mkdir()
            config = study_config("convnext-raw", options.device, batch_size=clips // 2, clip_seconds=SECONDS)
            add(grown, clips, {"decode": apart(decode, write_noise(folder, config), folder / "cache")})
        for trials in TRIALS:
            folder = write_sweep(Path(made) / f"{trials}-trials", trials)
            spent = {"resume": apart(resume, folder), "report": apart(tell, folder)}
            add(grown, trials, spent | in_process(drive, folder, trials))
    return outcome(grown)


def add(grown: Grown, size: int, spent: dict[str, Spent]) -> None:
    for what, told in spent.items():
        grown.setdefault(what, {})[size] = told


def in_process(work: Callable[..., Any], *given: Any) -> Any:
    """Call `work` in a process of its own, which begins with nothing in memory but the program."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *given).result()


def apart(work: Callable[..., object], *given: Any) -> Spent:
    """Return the seconds that `work` takes in a process of its own, and the bytes by which that grows at most."""
    return in_process(measured, work, *given)


def measured(work: Callable[..., object], *given: Any) -> Spent:
    before = memory.begin_peak() if memory.TOLD else 0
    start = time.perf_counter()
    with redirect_stdout(io.StringIO()):
        work(*given)
    seconds = time.perf_counter() - start
    return {"seconds": seconds} | ({"bytes": memory.peak() - before} if memory.TOLD else {})


def decode(dataset: Dataset, folder: Path) -> None:
    """Decode all clips into a cache, and open it."""
    rate = 44_100
    decode_all(dataset, rate, round(rate * SECONDS), folder)
    ClipSet(ClipCache.at(folder), dataset.folds)


def resume(folder: Path) -> None:
    """Take up a sweep as `--resume` does: check its files, replay its log."""
    open_driver(folder, read_sweep(folder)["trials"])


def open_driver(folder: Path, trials: int) -> Driver:
    """Return the driver of a sweep of so many trials; what it writes goes no further than its memory."""
    state = SweepState(dict.fromkeys(NAMES, EPOCHS), "halving")
    EventLog(folder, state.apply).close()
    return Driver(made_arms(), trials, "sobol", 0, UnwrittenLog(state.apply), state)


def drive(folder: Path, trials: int) -> dict[str, Spent]:
    """Return what the driver takes to deal another trial, and to record an epoch of it: means over one for each arm."""
    driver = open_driver(folder, trials + len(NAMES))
    next_point(driver.arms[0], "sobol", 0, 1, [])  # imports what it needs
    start = time.perf_counter()
    numbers = [driver.deal().number for _ in NAMES]
    dealt = time.perf_counter()
    epochs = 0
    for number in numbers:
        goes_on = True
        while goes_on:
            epoch = len(driver.state.trials[number].epochs) + 1
            goes_on = driver.record(number, epoch_result(epoch, 0.0))
            epochs += 1
    recorded = time.perf_counter()
    return {"deal": {"seconds": (dealt - start) / len(NAMES)}, "record": {"seconds": (recorded - dealt) / epochs}}


def tell(folder: Path) -> None:
    """Write the report, as `python -m analysis FOLDER` does."""
    with patch.object(sys, "argv", ["analysis", str(folder)]):
        report()


WHAT = {
    "decode": "decode {} clips",
    "resume": "resume after {} trials",
    "deal": "deal a trial after {}",
    "record": "record an epoch after {}",
    "report": "report of {} trials",
}


def outcome(grown: Grown) -> Outcome:
    return Outcome(
        "Growth: time and memory with the number of clips and of trials",
        ("", "times", "time", "times", "memory", "times"),
        [row(what, size, grown[what]) for what in WHAT for size in grown[what]],
        (
            "Each once, in a process of its own, without its start. Times: as many, as long and as much as in the line",
            f"before; what is constant makes it less. Clips have {SECONDS:g} s. Trials are of {len(NAMES)} arms",
            f"with halving, of {EPOCHS} epochs. A resume checks all files and replays the log. Then the driver deals",
            "each arm a trial by Sobol's sequence, and records its epochs up to the first rung, but not on the disk:",
            "told is the mean of one. A report is all that `python -m analysis` prints and writes. Memory: what the",
            "process grew by at most.",
            *(() if memory.TOLD else (memory.LEFT_OUT,)),
        ),
        {what: {str(size): told for size, told in sizes.items()} for what, sizes in grown.items()},
    )


def row(what: str, size: int, sizes: dict[int, Spent]) -> tuple[str, ...]:
    now, before = sizes[size], max((one for one in sizes if one < size), default=None)
    told = {key: now[key] / sizes[before][key] for key in now if sizes[before][key]} if before else {}
    times = [f"{told[key]:.1f}" if key in told else "" for key in ("seconds", "bytes")]
    held = f"{now['bytes'] / 1e6:.1f} MB" if "bytes" in now else ""
    more = f"{size / before:g}" if before else ""
    return WHAT[what].format(f"{size:,}"), more, shown_seconds(now["seconds"]), times[0], held, times[1]
