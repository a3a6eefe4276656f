"""What runs in a Ray worker: one trial, reporting each epoch."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from ray import tune

from esc50tune.config import TrialConfig
from esc50tune.data.cache import ClipCache
from esc50tune.data.clips import SearchData, open_search_data
from esc50tune.data.split import Split
from esc50tune.trial import train_trial


@lru_cache(maxsize=4)
def search_data(cache: str, split: Split) -> SearchData:
    """Open the data once a process, however many trials it runs."""
    return open_search_data(ClipCache.at(Path(cache)), split)


def checkpoint_path(folder: Path, number: int) -> Path:
    return folder / "checkpoints" / f"trial-{number:04d}.pt"


def run_trial(spec: dict[str, Any]) -> None:
    """Train the trial that `spec` describes: its number, configuration, data, threads and results folder."""
    torch.set_num_threads(spec["threads"])
    data = search_data(spec["caches"][spec["arm"]], Split(tuple(spec["train"]), spec["val"], spec["test"]))
    checkpoint = checkpoint_path(Path(spec["results"]), spec["trial"])
    # Ray hides no GPU from a trial that was given none, so the device is named.
    device, config = torch.device(spec["device"]), TrialConfig.from_flat(spec["config"])
    for result in train_trial(config, data, device, checkpoint):
        tune.report(result.flat())
