"""Crops: random ones in training, and evenly spaced views at evaluation whose probabilities are averaged."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from esc50tune.config import TrialConfig
from esc50tune.data.batch import Batch
from esc50tune.errors import UserError
from esc50tune.evaluation import evaluate
from esc50tune.regularizers import REGULARIZERS
from esc50tune.regularizers.crop import Crop
from esc50tune.seeds import stream
from esc50tune.trial import Trainer

CPU = torch.device("cpu")
ALL_OFF = {name: 0.0 for method in REGULARIZERS for name in method.on}
RATE = 1_000


def crop(samples: int, length: int = 100, views: int = 10) -> Crop:
    """Crops of so many samples from clips of `length`."""
    seconds = {"clip_seconds": length / RATE, "crop_seconds": samples / RATE}
    knobs = seconds | {"sample_rate": RATE, "crop_views": views}
    return Crop(TrialConfig.from_flat(ALL_OFF | knobs))


def counting(clips: int, length: int) -> Tensor:
    """Clips [B, 1, T] in which every sample tells its clip and its place."""
    return torch.arange(float(clips * length)).view(clips, 1, length)


# Training


def test_a_crop_is_a_run_of_samples_from_anywhere_in_its_clip():
    waves, targets = counting(2_000, 100), torch.rand(2_000, 3)
    batch = crop(90).on_batch(Batch.of(waves, targets), stream(0, "crop"))
    out = batch.waves
    assert torch.equal(batch.targets, targets)
    assert out.shape == (2_000, 1, 90)
    starts = (out[:, 0, 0] - waves[:, 0, 0]).long()
    for i, start in enumerate(starts.tolist()):
        assert torch.equal(out[i], waves[i, :, start : start + 90])
    # 11 places, the first and the last among them, each as likely: 182 clips of deviation 13.
    counts = torch.bincount(starts, minlength=11)
    assert len(counts) == 11
    assert ((counts - 2_000 / 11).abs() < 4 * 13).all()


def test_a_crop_as_long_as_the_clip_is_the_clip():
    waves = counting(4, 100)
    batch = crop(100).on_batch(Batch.of(waves, torch.rand(4, 3)), stream(0, "crop"))
    assert torch.equal(batch.waves, waves)


def test_a_crop_of_features_takes_whole_frames():
    x = counting(50, 100)[:, 0].view(50, 4, 25)
    out = crop(80).on_batch(Batch.of(x, torch.rand(50, 3)), stream(0, "crop")).waves
    starts = (out[:, 0, 0] - x[:, 0, 0]).long().tolist()
    assert set(starts) == set(range(6))
    for i, start in enumerate(starts):
        assert torch.equal(out[i], x[i, :, start : start + 20])


@pytest.mark.parametrize("feature", ["raw", "logmel"])
def test_a_trial_trains_on_crops_and_evaluates_views(feature, small, tones_data):
    flat = small | ALL_OFF | {"feature": feature, "crop_seconds": 0.2, "crop_views": 4}
    trainer, seen = Trainer(TrialConfig.from_flat(flat), tones_data, CPU), []
    trainer.classifier.feature.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    trainer.run_epoch()
    passes = 4 * [8] + [4] + 6 * [8]  # 36 clips, 8 a batch; 12 with 4 views each, no more at once than in training
    assert [tuple(x.shape) for x in seen] == [(size, 1, 1_600) for size in passes]
    clips = tones_data.train.waves(range(len(tones_data.train)))[:, 0]
    places = set()
    for wave in torch.cat(seen[:5])[:, 0]:
        windows = clips.unfold(1, 1_600, 1)  # every place that a crop may have
        clip, start = (windows[..., :20] == wave[:20]).all(2).nonzero()[0].tolist()
        assert torch.equal(windows[clip, start], wave)
        places.add(start)
    assert len(places) > 25


# Evaluation


@pytest.mark.parametrize(
    ("length", "samples", "views", "starts"),
    [
        (100, 40, 4, [0, 20, 40, 60]),
        (100, 50, 2, [0, 50]),
        (140, 100, 6, [0, 8, 16, 24, 32, 40]),
        (100, 30, 4, [0, 23, 47, 70]),
        (100, 100, 3, [0, 0, 0]),
        (100, 40, 1, [0]),
    ],
)
def test_views_are_evenly_spaced_from_the_first_to_the_last_sample(length, samples, views, starts):
    waves, targets = counting(3, length), torch.eye(3)
    batch = crop(samples, length, views).on_eval(Batch.of(waves, targets))
    expected = [waves[i, :, start : start + samples] for i, start in itertools.product(range(3), starts)]
    assert torch.equal(batch.waves, torch.stack(expected))
    assert batch.targets.argmax(1).tolist() == [i for i in range(3) for _ in starts]


@pytest.mark.parametrize("feature", ["raw", "logmel"])
def test_validation_scores_the_mean_probability_of_a_clips_views(feature, small, tones_data):
    flat = small | ALL_OFF | {"feature": feature, "convnext_form": "seed", "lr": 1e-12}
    trainer = Trainer(TrialConfig.from_flat(flat | {"crop_seconds": 0.1, "crop_views": 3}), tones_data, CPU)
    with torch.no_grad():
        trainer.classifier.model.head.weight *= 300.0 if feature == "raw" else 10.0  # so that views disagree
    result = trainer.run_epoch()
    losses, separate, right = [], [], 0
    for i, label in enumerate(tones_data.val.labels.tolist()):
        wave = tones_data.val.waves([i])
        with torch.no_grad():  # clips have 2,000 samples, crops 800
            logits = [trainer.classifier.eval()(wave[..., start : start + 800])[0] for start in (0, 600, 1_200)]
        powers = [np.exp(view.double().numpy()) for view in logits]
        probabilities = [power / power.sum() for power in powers]
        mean = np.mean(probabilities, axis=0)
        losses.append(-np.log(mean[label]))
        separate.append(-np.mean([np.log(p[label]) for p in probabilities]))
        right += int(mean.argmax() == label)
    assert result.val_loss == pytest.approx(np.mean(losses), rel=1e-4)
    assert result.val_acc == pytest.approx(right / len(losses))
    assert abs(np.mean(losses) - np.mean(separate)) > 1e-3 * np.mean(losses)  # not the mean of the views' losses


def test_one_view_scores_bit_for_bit_as_the_clip_cut_to_it(small, tones_data):
    flat = small | ALL_OFF | {"crop_seconds": 0.25, "crop_views": 1}
    trainer = Trainer(TrialConfig.from_flat(flat), tones_data, CPU)
    with_view = evaluate(trainer.classifier, tones_data.val, CPU, 16, trainer.methods)
    assert [method.name for method in trainer.methods] == ["crop"]
    assert with_view == evaluate(trainer.classifier, tones_data.val, CPU, 16)


def test_a_crop_longer_than_the_clip_is_refused():
    with pytest.raises(UserError) as refused:
        TrialConfig.from_flat({"crop_seconds": 1.5, "clip_seconds": 1.25})
    assert (
        str(refused.value) == "crop_seconds (1.5) is longer than clip_seconds (1.25): lower the one or raise the other"
    )
    TrialConfig.from_flat({"crop_seconds": 1.25, "clip_seconds": 1.25})


@pytest.mark.parametrize("knobs", [{"crop_views": 0}, {"crop_views": 101}, {"crop_seconds": -1.0}])
def test_knobs_out_of_range_are_refused(knobs: dict[str, Any]):
    with pytest.raises(UserError, match=next(iter(knobs))):
        TrialConfig.from_flat(knobs)


def test_views_without_crops_switch_nothing_on():
    assert not Crop.is_on(TrialConfig.from_flat(ALL_OFF | {"crop_views": 5}))
    assert Crop.is_on(TrialConfig.from_flat(ALL_OFF | {"crop_seconds": 1.0}))
