"""What runs in a Ray worker: one trial, reporting each epoch."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from ray import tune

from esc50tune.config import TrialConfig
from esc50tune.data.cache import ClipCache, save_array
from esc50tune.data.clips import ClipSet, TrialData, open_confirmation_data, open_search_data
from esc50tune.data.split import Split
from esc50tune.trial import Trainer, train_trial


@lru_cache(maxsize=4)
def search_data(cache: str, split: Split) -> TrialData:
    """Open the data once a process, however many trials it runs."""
    return open_search_data(ClipCache.at(Path(cache)), split)


def checkpoint_path(folder: Path, number: int) -> Path:
    return folder / "checkpoints" / f"trial-{number:04d}.pt"


def run_confirmation(spec: dict[str, Any]) -> None:
    """Train a frozen configuration on all folds but one, and only then open that one, once, and predict it."""
    torch.set_num_threads(spec["threads"])
    cache, fold = ClipCache.at(Path(spec["cache"])), spec["fold"]

    def test(trainer: Trainer) -> dict[str, float]:
        clips = ClipSet(cache, [fold])
        logits = trainer.predict(clips)
        save_array(Path(spec["predictions"]), logits.numpy())
        keep_or_drop(Path(spec["checkpoint"]), spec["kept"])
        accuracy = (logits.argmax(1) == clips.labels).double().mean().item()
        return {"test_loss": F.cross_entropy(logits, clips.labels).item(), "test_acc": accuracy}

    device, config = torch.device(spec["device"]), TrialConfig.from_flat(spec["config"])
    data = open_confirmation_data(cache, fold)
    for result in train_trial(config, data, device, Path(spec["checkpoint"]), test):
        tune.report(result.flat())


def keep_or_drop(checkpoint: Path, kept: str | None) -> None:
    if kept is None:
        checkpoint.unlink()
    else:
        checkpoint.replace(kept)


def run_trial(spec: dict[str, Any]) -> None:
    """Train the trial that `spec` describes: its number, configuration, data, threads and results folder."""
    torch.set_num_threads(spec["threads"])
    data = search_data(spec["cache"], Split(tuple(spec["train"]), spec["val"], spec["test"]))
    checkpoint = checkpoint_path(Path(spec["results"]), spec["trial"])
    # Ray hides no GPU from a trial that was given none, so the device is named.
    device, config = torch.device(spec["device"]), TrialConfig.from_flat(spec["config"])
    for result in train_trial(config, data, device, checkpoint):
        tune.report(result.flat())
