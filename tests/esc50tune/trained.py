"""Classifiers that were trained for an epoch, and results folders that have one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from esc50tune.config import TrialConfig
from esc50tune.data.clips import ClipSet, TrialData
from esc50tune.data.dataset import Dataset
from esc50tune.data.split import Split
from esc50tune.inputs import open_clips
from esc50tune.trial import Trainer
from tests.conftest import CAUSAL, RATE, SECONDS, SMALL, all_on

CPU = torch.device("cpu")
CLASSES = ["low", "middle", "high"]
ABOUT = {"arm": "mixup", "fold": 5, "seed": 0, "encoders": {}}
ABOUT |= {"title": "tones", "stand_in": False, "fingerprint": "abc", "classes": CLASSES}
RAW = {"feature": "raw", "convnext_stem_kernel": 16, "convnext_stem_stride": 16, "crop_seconds": 0.15, "crop_views": 3}
ENCODEC = CAUSAL | {"encodec_weights": "untrained", "encodec_standardise": True, "code_lm": 1.0}
KINDS = {
    "logmel": SMALL | all_on("logmel") | {"convnext_form": "seed"},  # whose branches count from the start
    "baseline": SMALL | {"model": "hifigan"},
    "raw": SMALL | RAW | {"ema": 0.5},
    "seed's form": SMALL | {"convnext_form": "seed", "convnext_kernel": 49, "crop_seconds": 0.2, "crop_views": 2},
    "statistics": SMALL | {"convnext_pool": "statistics", "ema": 0.5, "crop_seconds": 0.2, "crop_views": 2},
    "baseline, statistics": SMALL | {"model": "hifigan", "hifigan_pool": "statistics"},
    "bfloat16": SMALL | {"precision": "bf16"},
    "encodec": ENCODEC | {"crop_seconds": 0.2, "crop_views": 2, "ema": 0.5},
}


def train(dataset: Dataset, flat: dict[str, Any], path: Path, about: dict[str, Any] = ABOUT) -> tuple[Trainer, ClipSet]:
    """Train for an epoch on folds 1 to 4 and write the checkpoint; return the trainer, and the clips of fold 5."""
    config = TrialConfig.from_flat(flat | {"lr": 5e-3})
    cache = open_clips(dataset, config, Split((1, 2, 3, 4), 5, None))
    trainer = Trainer(config, TrialData(ClipSet(cache, [1, 2, 3, 4]), None), CPU, about)
    result = trainer.run_epoch()
    for name, parameter in trainer.classifier.named_parameters():
        if name.endswith("original0"):  # gains of weight-normed layers: the baseline is deaf after an epoch
            parameter.data.mul_(3.0)
    trainer.save(path, result)
    return trainer, ClipSet(cache, [5])


def files_of_fold_5(dataset: Dataset) -> list[Path]:
    """Return the files of fold 5, in the order of the clips."""
    return [dataset.audio_path(clip) for clip in dataset.clips if clip.fold == 5]


def noise(path: Path, seconds: float, rate: int = RATE, channels: int = 1, **more: Any) -> np.ndarray:
    """Write a file of noise whose level and colour change as it goes on; return its samples [T, channels]."""
    t = np.arange(round(seconds * rate)) / rate
    rng = np.random.default_rng(0)
    wave = rng.normal(0, 0.1, (len(t), channels)) + 0.3 * np.sin(2 * np.pi * (300 + 900 * t / SECONDS) * t)[:, None]
    wave *= (0.2 + 0.8 * np.sin(2 * t / SECONDS) ** 2)[:, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, **more)
    return wave
