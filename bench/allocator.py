"""What a training step gains where its process keeps the memory that it freed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from threading import Thread
from typing import Any

import torch
from torch import multiprocessing

from bench.base import Options, Outcome
from bench.packing import small_models
from bench.study import CLASSES, study_config
from bench.timing import alternate, ratios, shown_ratios, shown_seconds
from esc50tune.allocator import keep_freed_memory
from esc50tune.config import TrialConfig
from esc50tune.data.clips import TrialData
from esc50tune.features import FEATURES
from esc50tune.seeds import stream
from esc50tune.trial import Trainer


def run(options: Options) -> Outcome:
    """Time steps of the study's models, on latents with 16 clips each, and of the small preset's."""
    configs = {name: study_config(name, options.device, batch_size=16) for name in ("convnext-encodec", "causal-lm")}
    figures = {}
    for name, config in (configs | small_models()).items():
        with ExitStack() as stack:
            sides = {side: stack.enter_context(process(config, side == "kept")) for side in ("given back", "kept")}
            figures[name] = alternate(sides, options)
    return outcome(figures)


@contextmanager
def process(config: TrialConfig, keep: bool) -> Iterator[Callable[[], object]]:
    """Start a process that trains; yield what lets it take a step and waits for that."""
    context: Any = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=answer, args=(config, torch.get_num_threads(), keep, theirs), daemon=True)
    child.start()
    theirs.close()

    def step() -> None:
        ours.send(True)
        ours.recv()

    try:
        yield step
    finally:
        ours.close()
        child.join()


def answer(config: TrialConfig, threads: int, keep: bool, asked: Any) -> None:
    """Take a step whenever asked, in a thread as a trial of a sweep does."""
    torch.set_num_threads(threads)
    if keep:
        keep_freed_memory()

    def train() -> None:
        clips = FEATURES[config.feature].example(config, config.batch_size, CLASSES)
        trainer = Trainer(config, TrialData(clips, clips), torch.device("cpu"))
        trainer.classifier.train()
        streams = {method: stream(0, method.name) for method in trainer.methods}
        try:
            while asked.recv():
                trainer.train_batch(list(range(config.batch_size)), streams, config.lr)
                asked.send(True)
        except EOFError:  # nobody asks any more
            pass

    thread = Thread(target=train)
    thread.start()
    thread.join()


def outcome(figures: dict[str, dict[str, list[float]]]) -> Outcome:
    rows = [
        (
            name,
            *(shown_seconds(median(sides[side])) for side in ("given back", "kept")),
            shown_ratios(ratios(sides["given back"], sides["kept"])),
        )
        for name, sides in figures.items()
    ]
    return Outcome(
        "Memory on a CPU: a step where glibc gives freed memory back to the system, and where the process keeps it",
        ("a step of", "given back", "kept", "times as fast"),
        rows,
        (
            "Medians of the rounds; in brackets the least and the greatest ratio of a round. Sides take turns, each in",
            "a process of its own and in a thread of it, as a trial of a sweep.",
        ),
        figures,
    )
