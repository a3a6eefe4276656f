"""Time and frequency masks: how wide, where, along which axis, and that a trial's model sees them in training alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from esc50tune.config import TrialConfig
from esc50tune.data.clips import TrialData
from esc50tune.errors import UserError
from esc50tune.regularizers import REGULARIZERS
from esc50tune.regularizers.masking import FrequencyMask, TimeMask
from esc50tune.seeds import stream
from esc50tune.trial import Trainer
from tests.conftest import watch

CPU = torch.device("cpu")
ALL_OFF = {name: 0.0 for method in REGULARIZERS for name in method.on}
both = pytest.mark.parametrize(
    ("method", "knob", "axis"), [(TimeMask, "time_mask", 2), (FrequencyMask, "frequency_mask", 1)], ids=["time", "freq"]
)


def masked(method: type, x: Tensor, seed: int = 0, **knobs: Any) -> Tensor:
    before = x.clone()
    out = method(TrialConfig.from_flat(ALL_OFF | knobs)).on_features(x, stream(seed, method.name))
    assert torch.equal(x, before)
    return out


def assert_uniform(values: np.ndarray, low: float, high: float) -> None:
    """The largest gap between the empirical distribution and the uniform one (Kolmogorov) stays small."""
    assert low <= values.min()
    assert values.max() <= high
    ranks = (np.arange(len(values)) + 0.5) / len(values)
    assert np.abs((np.sort(values) - low) / (high - low) - ranks).max() < 1.63 / np.sqrt(len(values))


def runs(hidden: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return start and width of the run of hidden places of each row [B, L] with any; the rest must be in sight."""
    edges = torch.nn.functional.pad(hidden.int(), (1, 1)).diff()
    assert ((edges == 1).sum(1) <= 1).all()  # one run at most
    hidden = hidden[hidden.any(1)]
    return hidden.int().argmax(1).numpy(), hidden.sum(1).numpy()


@both
def test_whole_frames_or_bands_are_zero_and_the_others_as_they_were(method, knob, axis):
    torch.manual_seed(0)
    x = torch.randn(50, 40, 60)
    out = masked(method, x, **{knob: 0.5})
    zero = out == 0
    hidden = zero.all(3 - axis)  # [B, L]: all bands of a frame, or all frames of a band
    assert torch.equal(zero.any(3 - axis), hidden)
    assert torch.equal(out[~zero], x[~zero])
    assert hidden.any(1).float().mean() > 0.8
    assert not hidden.all(1).any()
    runs(hidden)
    assert len({tuple(row) for row in hidden.tolist()}) > 40  # each clip has a mask of its own


@both
@pytest.mark.parametrize("most", [0.1, 0.5, 0.9])
def test_widths_are_even_from_0_to_the_most_and_places_even(method, knob, axis, most):
    length = 1_000
    shape = [3_000, 1, 1]
    shape[axis] = length
    hidden = (masked(method, torch.ones(shape), **{knob: most}) == 0).flatten(1)
    start, width = runs(hidden)
    assert hidden.sum(1).max() <= most * length + 1
    assert_uniform(hidden.sum(1).numpy() / length, -1e-3, most + 1e-3)
    assert_uniform(start / (length - width), 0.0, 1.0)


@both
def test_another_seed_masks_elsewhere(method, knob, axis):
    first, second = (masked(method, torch.ones(8, 30, 30), seed, **{knob: 0.5}) for seed in (0, 1))
    assert not torch.equal(first, second)


def test_on_raw_audio_a_stretch_of_samples_is_silenced():
    wave = torch.ones(200, 1, 500)
    start, width = runs((masked(TimeMask, wave, time_mask=0.4, feature="raw") == 0)[:, 0])
    assert 180 <= width.max() <= 201
    assert (start + width <= 500).all()


def test_on_raw_audio_there_are_no_bands_to_mask():
    with pytest.raises(UserError) as refused:
        TrialConfig.from_flat({"feature": "raw", "frequency_mask": 0.2})
    assert str(refused.value) == "frequency_mask (0.2) needs bands, which feature 'raw' has not"
    TrialConfig.from_flat({"feature": "raw", "frequency_mask": 0.0, "time_mask": 0.2})


@pytest.mark.parametrize("knob", ["time_mask", "frequency_mask"])
@pytest.mark.parametrize("most", [-0.1, 1.0])
def test_a_share_outside_0_to_1_is_refused(knob, most):
    with pytest.raises(UserError, match=knob):
        TrialConfig.from_flat({knob: most})


def inputs_of_model(flat: dict[str, Any], data: TrialData) -> tuple[list[Tensor], list[Tensor]]:
    """Return what the model of a trial sees of an epoch's training batches and then of the validation clips."""
    trainer, seen = Trainer(TrialConfig.from_flat(ALL_OFF | flat), data, CPU), []
    model = trainer.classifier.model
    watch(model, lambda x: seen.append((model.training, x.clone())))
    trainer.run_epoch()
    return [x for training, x in seen if training], [x for training, x in seen if not training]


@pytest.mark.parametrize(
    ("knobs", "axes"),
    [
        ({"time_mask": 0.5}, {2}),
        ({"frequency_mask": 0.5}, {1}),
        ({"time_mask": 0.5, "frequency_mask": 0.5}, {1, 2}),
        ({"feature": "raw", "time_mask": 0.5}, {2}),
    ],
    ids=["time", "frequency", "both", "raw"],
)
def test_a_trials_model_sees_the_masks_in_training_alone(knobs, axes, small, tones_data):
    plain, plain_val = inputs_of_model(small | knobs | {"time_mask": 0.0, "frequency_mask": 0.0}, tones_data)
    seen, val = inputs_of_model(small | knobs, tones_data)
    assert all(map(torch.equal, val, plain_val))
    assert len(seen) == len(plain) == 5
    found = {1: 0, 2: 0}
    for before, after in zip(plain, seen, strict=True):
        gone = (after == 0) & (before != 0)
        assert torch.equal(after[~gone], before[~gone])
        if after.shape[1] > 1:
            found[1] += gone.all(2).any(1).sum().item()
        found[2] += gone.all(1).any(1).sum().item()
    assert {axis for axis, clips in found.items() if clips > 20} == axes
    assert {axis for axis, clips in found.items() if clips > 0} == axes
