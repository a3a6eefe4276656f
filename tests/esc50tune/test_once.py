"""Features that no method's waveforms change are computed once, and only those."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from torch import Tensor

from esc50tune.config import TrialConfig
from esc50tune.data.batch import Batch
from esc50tune.data.clips import TrialData
from esc50tune.features import once
from esc50tune.features.logmel import LogMel
from esc50tune.models.base import Model
from esc50tune.regularizers import active
from esc50tune.regularizers.base import Auxiliary, Regularizer
from esc50tune.speedups import without
from esc50tune.trial import Trainer, train_trial
from tests.conftest import SMALL

CPU = torch.device("cpu")


def kept(data: TrialData, **knobs) -> tuple[bool, bool]:
    """Return for which sides a trial with `knobs` keeps features: training, validation."""
    trainer = Trainer(TrialConfig.from_flat(SMALL | knobs), data, CPU)
    return trainer.data.train.are_features, trainer.data.val.are_features


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"label_smoothing": 0.1, "weight_decay": 0.3, "time_mask": 0.2, "frequency_mask": 0.2},
        {"dropout": 0.1, "channel_dropout": 0.1, "drop_path": 0.1, "sam_rho": 0.05, "ema": 0.9},
    ],
)
def test_both_sides_are_kept_where_no_method_changes_a_waveform(tones_data: TrialData, knobs: dict) -> None:
    assert kept(tones_data, **knobs) == (True, True)


@pytest.mark.parametrize(
    "knobs", [{"mixup": 0.4}, {"shift": 0.5}, {"gain_db": 6.0}, {"between_class": 1.0}, {"scale": 1.25}]
)
def test_augmented_waveforms_are_not_kept_and_validation_is(tones_data: TrialData, knobs: dict) -> None:
    assert kept(tones_data, **knobs) == (False, True)


def test_crops_are_views_at_evaluation_too(tones_data: TrialData) -> None:
    assert kept(tones_data, crop_seconds=0.2, crop_views=2) == (False, False)


def test_raw_audio_is_never_kept(tones_data: TrialData) -> None:
    assert kept(tones_data, feature="raw") == (False, False)


def test_a_regularizer_of_someone_else_is_taken_to_change_waveforms(tones_data: TrialData) -> None:
    class Louder(Regularizer):
        def on_batch(self, batch: Batch, rng: np.random.Generator) -> Batch:
            return replace(batch, waves=2.0 * batch.waves)

    config = TrialConfig.from_flat(SMALL)
    methods = [*active(config), Louder(config)]
    data = once.fitted(LogMel(config), config, tones_data, methods, CPU)
    assert (data.train, data.val.are_features) == (tones_data.train, True)


def test_a_further_task_sees_waveforms(tones_data: TrialData) -> None:
    class Loudness(Regularizer):
        def auxiliary(self, model: Model, frames: Tensor, batch: Batch) -> Auxiliary:
            return Auxiliary(batch.waves.std(), {})

    config = TrialConfig.from_flat(SMALL)
    assert once.fitted(LogMel(config), config, tones_data, [Loudness(config)], CPU) is tones_data


def test_a_feature_that_builds_on_another_is_not_kept_for_other_knobs_of_that_one(tones_data: TrialData) -> None:
    class Doubled(LogMel):
        class Knobs(BaseModel):
            """None of its own."""

    for bands in (16, 12):
        config = TrialConfig.from_flat(SMALL | {"logmel_bands": bands})
        data = once.fitted(Doubled(config), config, tones_data, [], CPU)
        assert data.train.batch([0], CPU).waves.shape[1] == bands


def test_what_takes_too_much_memory_is_computed_in_each_step(
    tones_data: TrialData, monkeypatch: pytest.MonkeyPatch
) -> None:
    feature = LogMel(TrialConfig.from_flat(SMALL))
    size = feature(tones_data.val.waves([0])).nbytes * len(tones_data.val)
    for most, fits in ((size, True), (size - 1, False)):
        monkeypatch.setattr(once, "MOST", most)
        assert once.as_features(feature, tones_data.val, CPU).are_features == fits


def test_kept_features_are_those_of_each_clip(tones_data: TrialData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "PART", 5)
    feature = LogMel(TrialConfig.from_flat(SMALL))
    clips = once.as_features(feature, tones_data.train, CPU)
    indices = [7, 0, len(clips) - 1]
    a, b = clips.batch(indices, CPU), tones_data.train.batch(indices, CPU)
    assert a.is_feature and torch.equal(a.targets, b.targets)
    torch.testing.assert_close(a.waves, feature(b.waves), rtol=1e-5, atol=1e-4)
    assert clips.num_classes == tones_data.train.num_classes


def test_a_trial_calls_its_feature_once_a_clip(tones_data: TrialData, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def forward(self: LogMel, waves: Tensor) -> Tensor:
        seen.append(len(waves))
        return (self.level(waves) - self.mean) / self.deviation

    monkeypatch.setattr(LogMel, "forward", forward)
    monkeypatch.setattr(once, "_last", None)
    config = TrialConfig.from_flat(SMALL | {"epochs": 3})
    one_try_a_side = 2
    clips = len(tones_data.train) + len(tones_data.val)
    list(train_trial(config, tones_data, CPU))
    assert sum(seen) == clips + one_try_a_side
    list(train_trial(config, tones_data, CPU))
    assert sum(seen) == clips + one_try_a_side  # the next trial of the process takes what is there
    seen.clear()
    with without("features"):
        list(train_trial(config, tones_data, CPU))
    assert sum(seen) == 3 * clips


def test_what_is_kept_is_that_of_the_trials_own_clips_and_knobs(tones_data: TrialData) -> None:
    config = TrialConfig.from_flat(SMALL)
    other, swapped = TrialConfig.from_flat(SMALL | {"logmel_bands": 12}), TrialData(tones_data.val, tones_data.train)
    trials = [
        (config, tones_data),
        (config, swapped),
        (other, swapped),
        (other, tones_data),
        (config, tones_data),
    ]
    for knobs, data in trials:
        there = Trainer(knobs, data, CPU)
        with without("features"):
            plain = Trainer(knobs, data, CPU)
        feature = plain.classifier.feature
        for a, b in zip(there.classifier.feature.state_dict().values(), feature.state_dict().values(), strict=True):
            torch.testing.assert_close(a, b)
        expected = feature(data.val.waves([2, 0]))
        torch.testing.assert_close(there.data.val.batch([2, 0], CPU).waves, expected, rtol=1e-5, atol=1e-4)


def test_a_trial_that_augments_leaves_features_for_the_next_that_does_not(tones_data: TrialData) -> None:
    assert kept(tones_data, mixup=0.4) == (False, True)
    assert kept(tones_data) == (True, True)
    assert kept(tones_data, shift=1.0) == (False, True)
