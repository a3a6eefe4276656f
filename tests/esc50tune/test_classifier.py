"""A feature and a model together, and what can be told of them before they are built."""

from __future__ import annotations

import re

import pytest
import torch

from esc50tune.classifier import Classifier, check_clip_length, count_parameters
from esc50tune.config import TrialConfig
from esc50tune.data.batch import Batch
from esc50tune.errors import UserError
from esc50tune.features import FEATURES
from esc50tune.models import MODELS
from tests.conftest import SMALL

PAIRS = [
    {"model": model, "feature": feature, "convnext_form": form}
    for model, form in (("hifigan", "published"), ("convnext", "seed"), ("convnext", "published"), ("causal", "seed"))
    for feature in ("raw", "logmel", "encodec")
    if (model, feature) != ("causal", "raw")
]


def knobs_of(pair: dict) -> dict:
    encodec = pair["feature"] == "encodec"
    return SMALL | {"causal_blocks": 1, "causal_kernel": 5} | ({"sample_rate": 24_000} if encodec else {}) | pair


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "-".join(pair.values()))
@torch.no_grad()
def test_every_model_takes_every_feature(pair):
    config = TrialConfig.from_flat(knobs_of(pair))
    classifier = Classifier(config, 7)
    example = FEATURES[config.feature].example(config, 3, 7).batch([0, 1, 2], torch.device("cpu"))
    logits = classifier(torch.randn_like(example.waves))
    assert logits.shape == (3, 7)
    assert logits.isfinite().all()
    assert not torch.equal(logits[0], logits[1])


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "-".join(pair.values()))
def test_parameters_are_counted_without_building_and_a_fitting_clip_length_passes(pair):
    config = TrialConfig.from_flat(knobs_of(pair))
    real = Classifier(config, 7)
    assert count_parameters(config, 7) == sum(parameter.numel() for parameter in real.parameters())
    check_clip_length(config, 7)


def test_the_baseline_of_the_study_is_counted_right():
    assert count_parameters(TrialConfig(model="hifigan", feature="raw"), 50) == 10_024_932


def test_knobs_that_no_model_can_be_built_from_are_refused(monkeypatch):
    """As of a model of the user's own, whose knobs allow too much."""
    monkeypatch.setattr(MODELS["hifigan"], "from_config", lambda *_: torch.nn.Conv1d(20, 20, 3, groups=16))
    with pytest.raises(UserError, match=r"model 'hifigan' on feature 'logmel' cannot be built: .*groups"):
        count_parameters(TrialConfig(model="hifigan"), 3)


def stem(length: int) -> dict:
    return {"convnext_stem_kernel": length, "convnext_stem_stride": length}


@pytest.mark.parametrize(
    ("knobs", "seconds"),
    [
        (stem(40), "0.25"),
        ({**stem(20), "feature": "encodec", "sample_rate": 24_000}, "0.25"),
        ({**stem(1_024), "feature": "raw", "crop_seconds": 0.1, "clip_seconds": 0.5}, "0.1"),
        ({"convnext_stem_kernel": 200, "convnext_stem_stride": 1}, "0.25"),
        ({"convnext_downsample": 16}, "0.25"),
        ({"feature": "raw", "convnext_form": "seed", "convnext_downsample": 16, "convnext_depths": [1] * 3}, "0.25"),
        ({"clip_seconds": 0.05, "logmel_frames_per_second": 10}, "0.05"),
    ],
)
def test_clips_too_short_for_a_model_or_feature_are_refused_before_training(knobs, seconds, small):
    config = TrialConfig.from_flat(small | knobs)
    with pytest.raises(UserError, match=rf"^(clip|crop)s of {seconds} s are too short for model") as refused:
        check_clip_length(config, 3)
    advised = re.search(r"takes ([\d.]+) s or more: `--set (clip_seconds|crop_seconds)=\1` ", str(refused.value))
    least, knob = float(advised[1]), advised[2]
    check_clip_length(config.model_copy(update={knob: least}), 3)
    assert "torch" not in str(refused.value)
    with pytest.raises(UserError):  # a tenth of a second less is not enough
        check_clip_length(config.model_copy(update={knob: max(round(least - 0.1, 1), float(seconds))}), 3)


def test_where_no_crop_is_long_enough_the_clips_are_too_short(small):
    config = TrialConfig.from_flat(small | stem(1_024) | {"feature": "raw", "crop_seconds": 0.1})
    with pytest.raises(UserError, match=r"^clips of 0.25 s are too short .* `--set clip_seconds=0.3` pads"):
        check_clip_length(config, 3)


def test_crops_that_are_too_short_by_less_than_a_tenth_of_a_second_are_refused_with_the_reason(small):
    knobs = stem(1_024) | {"feature": "raw", "crop_seconds": 0.1, "clip_seconds": 0.28}
    with pytest.raises(UserError, match=r"^model 'convnext' on feature 'raw' cannot take crop_seconds = 0.1 \(.*\): "):
        check_clip_length(TrialConfig.from_flat(small | knobs), 3)


@torch.no_grad()
def test_the_features_statistics_travel_with_the_weights(small):
    config = TrialConfig.from_flat(small)
    fitted, fresh = Classifier(config, 3).eval(), Classifier(config, 3).eval()
    waves = torch.randn(4, 1, 2_000) * 0.01
    fitted.feature.fit([waves])
    fresh.load_state_dict(fitted.state_dict())
    assert torch.equal(fresh.feature(waves), fitted.feature(waves))
    assert torch.equal(fresh(waves), fitted(waves))
    assert not torch.equal(Classifier(config, 3).feature(waves), fitted.feature(waves))


@torch.no_grad()
def test_autocast_coarsens_the_model_and_not_the_feature(small):
    classifier, seen = Classifier(TrialConfig.from_flat(small), 3).eval(), []
    classifier.model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    waves = torch.randn(4, 1, 2_000) * 0.01
    fine = classifier(waves)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = classifier(waves)
        batch = classifier.inputs(Batch.of(waves, torch.ones(4, 3)))
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], batch)
    assert not torch.equal(fine, coarse.float())
