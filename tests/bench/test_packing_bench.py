"""Packing and memory: the arithmetic of the tables, and that each side really trains."""

from __future__ import annotations

import torch

from bench import allocator, packing
from bench.base import Options
from bench.packing import small_models
from bench.timing import alternate

CPU = torch.device("cpu")


def test_rates_are_told_as_trials_an_hour() -> None:
    told = packing.outcome({"a model": {"1": 1_000.0, "2": 1_500.0, "4": 0.0}})
    assert told.rows == [("a model", "22.5", "33.8", "0.0", "2")]  # 3,600 s, 160,000 clips a trial


def test_a_cpu_is_tried_with_the_small_presets_models() -> None:
    configs = packing.models(CPU)
    assert list(configs) == ["baseline, small", "convnext, small"]
    assert {config.sample_rate for config in configs.values()} == {8_000}


def test_both_sides_take_steps() -> None:
    config = small_models()["convnext, small"].model_copy(update={"clip_seconds": 0.5, "batch_size": 2})
    with allocator.process(config, True) as kept, allocator.process(config, False) as given_back:
        seconds = alternate({"kept": kept, "given back": given_back}, Options(CPU, rounds=2))
    assert all(len(each) == 2 and min(each) > 0 for each in seconds.values())
