"""What several tests share: a cache of their own, and a small data set in ESC-50's layout."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torch.nn.functional as F
from hypothesis import settings
from torch import Tensor

from esc50tune.command import end_with
from esc50tune.data.cache import ClipCache, open_cache
from esc50tune.data.clips import ClipsInMemory, TrialData, open_search_data
from esc50tune.data.dataset import COLUMNS, Dataset, read_dataset
from esc50tune.data.split import search_split
from esc50tune.models import Model
from esc50tune.regularizers import REGULARIZERS, Regularizer

# The same draws in each run, however long they take.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")

RATE, SECONDS = 8_000, 0.25
PITCHES = {"low": 300, "middle": 900, "high": 2_500}


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what the tests cache out of the user's cache."""
    os.environ["ESC50TUNE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ.pop("ESC50_ROOT", None)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tensors this small gain nothing from threads, and lose much where other processes want the cores."""
    torch.set_num_threads(1)


def write_dataset(root: Path, clips_a_fold: int = 4) -> Path:
    """Write five folds of three noisy tones, `clips_a_fold` clips of a class in each; two takes to a source."""
    (root / "audio").mkdir(parents=True)
    (root / "meta").mkdir()
    rng, rows = np.random.default_rng(0), []
    t = np.arange(int(RATE * SECONDS)) / RATE
    for fold in range(1, 6):
        for target, (category, pitch) in enumerate(PITCHES.items()):
            for take in range(clips_a_fold):
                source = f"{fold}{target}{take // 2}"
                wave = np.sin(2 * np.pi * pitch * rng.uniform(0.8, 1.2) * t) + rng.normal(0, 0.5, len(t))
                filename = f"{fold}-{source}-{'ABCDEFGH'[take]}-{target}.wav"
                soundfile.write(root / "audio" / filename, 0.3 * wave / np.abs(wave).max(), RATE, subtype="PCM_16")
                rows.append((filename, fold, target, category, source))
    with (root / "meta" / "esc50.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return root


@pytest.fixture(scope="session")
def tones_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 clips that no test changes."""
    return write_dataset(tmp_path_factory.mktemp("data") / "tones")


@pytest.fixture(scope="session")
def tones(tones_folder: Path) -> Dataset:
    return read_dataset(tones_folder)


@pytest.fixture(scope="session")
def tones_cache(tones: Dataset) -> ClipCache:
    return open_cache(tones, RATE, SECONDS)


@pytest.fixture(scope="session")
def tones_data(tones: Dataset, tones_cache: ClipCache) -> TrialData:
    """Folds 1 to 3 train, 4 validates, 5 is out of reach."""
    return open_search_data(tones_cache, search_split(tones, 5, 4))


@pytest.fixture
def fresh_tones(tmp_path: Path) -> Path:
    """A folder of 15 clips that the test may spoil."""
    return write_dataset(tmp_path / "fresh", clips_a_fold=1)


SMALL = {
    "feature": "logmel",
    "sample_rate": RATE,
    "clip_seconds": SECONDS,
    "logmel_bands": 16,
    "logmel_frames_per_second": 100,
    "epochs": 3,
    "batch_size": 8,
    "hifigan_channels": 4,
    "convnext_width": 8,
    "convnext_depths": [1, 1],
    "convnext_stem_kernel": 2,
    "convnext_stem_stride": 2,
}


# Knobs of a causal model that trains on the latents in a fraction of a second.
CAUSAL = SMALL | {
    "model": "causal",
    "feature": "encodec",
    "sample_rate": 24_000,
    "causal_blocks": 2,
    "causal_kernel": 5,
}


def switched_on(method: type[Regularizer], feature: str = "logmel") -> dict:
    """What switches a method on, at a size that fits the tests' clips; nothing where it cannot be had on `feature`."""
    knobs = method.on | ({"crop_seconds": 0.2, "crop_views": 3} if method.name == "crop" else {})
    not_to_be_had = method.wave_knobs if feature == "encodec" else ("code_lm",)
    return {name: value for name, value in knobs.items() if name not in not_to_be_had}


def all_on(feature: str = "logmel") -> dict:
    """What switches on every method that can be had on `feature`."""
    return {name: value for method in REGULARIZERS for name, value in switched_on(method, feature).items()}


@pytest.fixture
def small() -> dict:
    """Knobs of a model that trains on the tones in a fraction of a second."""
    return dict(SMALL)


def random_latents(size: int, seed: int, frames: int = 19) -> ClipsInMemory:
    """What EnCodec might have made of clips of three classes, with the codes of two codebooks."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, 128, frames, generator=generator)
    codes = torch.randint(1024, (size, 2, frames), generator=generator)
    return ClipsInMemory(x, torch.arange(size) % 3, 3, codes)


@pytest.fixture
def latents() -> TrialData:
    return TrialData(random_latents(20, 1), random_latents(9, 2))


def assert_same(model: Model, reference: Callable[[dict[str, Tensor], Tensor], Tensor], x: Tensor) -> None:
    """Compare logits, and every parameter's gradient of a smoothed cross entropy, with those of `reference`."""
    weights = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    logits, expected = model(x), reference(weights, x)
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-10)
    labels = torch.arange(len(x)) % logits.shape[1]
    for outcome in (logits, expected):
        F.cross_entropy(outcome, labels, label_smoothing=0.1).backward()
    for name, p in model.named_parameters():
        gradient = weights[name].grad
        assert gradient.any(), name
        assert (p.grad - gradient).abs().max() < 1e-8 * gradient.abs().max(), name


def watch(model: Model, see: Callable[[Tensor], object]) -> None:
    """Call `see` with what goes into each pass through `model`."""
    frames = model.frames

    def seen(x: Tensor) -> Tensor:
        see(x)
        return frames(x)

    model.frames = seen


def ended(main: Callable[[], int]) -> int:
    """Return the exit code of a command, run with the command line that stands in sys.argv."""
    heeded = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as end:
            end_with(main)
    finally:
        signal.signal(signal.SIGINT, heeded)
    return end.value.code
