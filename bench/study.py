"""The original study's four models, with the settings and the kind of clips that it trained them on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile
import torch

from esc50tune.config import TrialConfig
from esc50tune.data.cache import ClipCache, decode_all
from esc50tune.data.clips import Clips, ClipSet, ClipsInMemory, TrialData
from esc50tune.data.dataset import Clip, Dataset
from esc50tune.data.latents import CODEBOOK_SIZE, codebooks
from esc50tune.features import FEATURES
from sweeps.arms import make_arms
from sweeps.presets import PRESETS
from sweeps.studies import architectures

MODELS = ("hifigan-raw", "convnext-raw", "convnext-encodec", "causal-lm")
CLASSES = 50
TRAINED, EVALUATED = 1_600, 400  # clips of one epoch of the study


@dataclass(frozen=True)
class Case:
    """One of the study's models on a few clips.

    Attributes:
        name: its arm in `sweeps/architectures.py`.
        config: its knobs; `batch_size` is that of a step.
        data: the clips of one step, and as many to evaluate.
        files: where the waveforms of each side's clips lie; None for latents.
    """

    name: str
    config: TrialConfig
    data: TrialData
    files: tuple[list[Path], list[Path]] | None


def study_config(name: str, device: torch.device, **knobs: Any) -> TrialConfig:
    """Return the settings of the study's model `name`; on a CPU HiFi-GAN takes 2 clips a step instead of 16.

    Two take seconds, and its time grows with the clips.
    """
    base = {"clip_seconds": 5.0, "encodec_weights": "pretrained"}
    (arm,) = make_arms(architectures(), [name], PRESETS["seed"], base, {"precision": "fp32"})
    fewer = {"batch_size": 2} if name == "hifigan-raw" and device.type == "cpu" else {}
    return arm.config(fewer | knobs, seed=0)


@contextmanager
def study_case(name: str, device: torch.device, **knobs: Any) -> Iterator[Case]:
    """Make the clips of the study's model `name`: noise, since time does not depend on what is heard."""
    config = study_config(name, device, **knobs)
    if config.feature == "encodec":
        yield Case(name, config, TrialData(latents(config, 1), latents(config, 2)), None)
        return
    with TemporaryDirectory() as made:
        dataset = write_noise(Path(made), config)
        length = round(config.sample_rate * config.clip_seconds)
        (Path(made) / "cache").mkdir()
        decode_all(dataset, config.sample_rate, length, Path(made) / "cache" / "clips")
        cache = ClipCache.at(Path(made) / "cache" / "clips")
        train, val = ClipSet(cache, [1]), ClipSet(cache, [2])
        train.num_classes = val.num_classes = CLASSES  # more than there are clips
        files = [[dataset.audio_path(clip) for clip in dataset.clips if clip.fold == fold] for fold in (1, 2)]
        yield Case(name, config, TrialData(train, val), (files[0], files[1]))


def latents(config: TrialConfig, seed: int) -> Clips:
    """Return random clips of the latents' shape, with random codes."""
    shape = FEATURES["encodec"].example(config, config.batch_size, CLASSES).held.shape
    generator = torch.Generator().manual_seed(seed)
    held = torch.randn(shape, generator=generator)
    books = codebooks(config.encodec_bandwidth)
    codes = torch.randint(CODEBOOK_SIZE, (len(held), books, shape[-1]), generator=generator)
    return ClipsInMemory(held, torch.arange(len(held)) % CLASSES, CLASSES, codes)


def write_noise(root: Path, config: TrialConfig) -> Dataset:
    """Write a step's clips of noise as fold 1, and as many as fold 2."""
    (root / "audio").mkdir()
    rng, clips = np.random.default_rng(0), []
    length = round(config.sample_rate * config.clip_seconds)
    for fold, i in itertools.product((1, 2), range(config.batch_size)):
        name, noise = f"{fold}-{i}.wav", 0.1 * rng.standard_normal(length, dtype=np.float32)
        soundfile.write(root / "audio" / name, noise, config.sample_rate, subtype="PCM_16")
        clips.append(Clip(name, fold, i % CLASSES, f"class {i % CLASSES:02d}", name))
    return Dataset(root, tuple(clips))
