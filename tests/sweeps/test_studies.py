"""Architectures: eleven arms, each what its name says; and the presets' settings in them."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

from esc50tune.classifier import count_parameters
from esc50tune.config import TrialConfig
from esc50tune.features import FEATURES
from sweeps.arms import Arm, make_arms
from sweeps.opening import twins
from sweeps.presets import PRESETS
from sweeps.studies import architectures, regularization

SCRIPTS = Path(__file__).resolve().parents[2] / "sweeps"


def default_arms(script: str) -> tuple[str, ...]:
    return runpy.run_path(str(SCRIPTS / f"{script}.py"))["ARMS"]


def arms_of(preset: str, base: dict | None = None) -> dict[str, Arm]:
    study = architectures(default_arms("architectures"))
    return {arm.name: arm for arm in make_arms(study, study.default, PRESETS[preset], base or {}, {})}


def test_both_models_are_run_on_five_inputs_and_the_causal_one_besides() -> None:
    arms = arms_of("full")
    inputs = {
        (arm.fixed["feature"], arm.fixed["sample_rate"], arm.fixed["encodec_weights"])
        for arm in arms.values()
        if arm.fixed["model"] == "hifigan"
    }
    assert len(arms) == 11
    assert inputs == {
        ("raw", 44_100, "pretrained"),
        ("raw", 24_000, "pretrained"),
        ("logmel", 24_000, "pretrained"),
        ("encodec", 24_000, "pretrained"),
        ("encodec", 24_000, "untrained"),
    }
    for name, against in architectures().against.items():
        if name in arms:
            pair = [
                (arms[n].fixed["feature"], arms[n].fixed["sample_rate"], arms[n].fixed["encodec_weights"])
                for n in (name, against)
            ]
            assert pair[0] == pair[1]
            assert arms[against].fixed["model"] == "hifigan"
    assert arms["causal-lm"].fixed["code_lm"] == 1.0


def test_the_chosen_weights_hold_but_for_the_untrained_control() -> None:
    arms = arms_of("small", {"encodec_weights": "some/file"})
    assert arms["convnext-encodec"].fixed["encodec_weights"] == "some/file"
    assert arms["causal-lm"].fixed["encodec_weights"] == "some/file"
    assert arms["convnext-untrained"].fixed["encodec_weights"] == "untrained"


def test_log_mel_and_encodec_give_the_models_the_same_shape() -> None:
    arms, shapes = arms_of("full"), []
    for name in ("convnext-logmel", "convnext-encodec"):
        config = TrialConfig.from_flat(arms[name].fixed)
        feature = FEATURES[config.feature](config)
        shapes.append(feature(FEATURES[config.feature].example(config, 1, 1).waves([0])).shape)
    assert shapes == [torch.Size([1, 128, 375])] * 2


@pytest.mark.parametrize(
    ("name", "parameters", "settings"),
    [
        ("hifigan-raw", 10_024_932, {"batch_size": 16}),
        ("convnext-raw", 36_595_186, {"batch_size": 16, "dropout": 0.1, "channel_dropout": 0.1}),
        ("convnext-encodec", 33_218_354, {"batch_size": 64, "dropout": 0.25, "channel_dropout": 0.25}),
        (
            "causal-lm",
            1_377_586,
            {
                "batch_size": 64,
                "dropout": 0.05,
                "channel_dropout": 0.05,
                "sam_rho": 0.05,
                "sam_adaptive": False,
                "sam_masks": "different",
                "code_lm": 1.0,
                "code_smoothing": 0.1,
                "causal_norm": "group",
                "causal_pool": "last",
            },
        ),
    ],
)
def test_the_seed_preset_has_the_original_studys_models_and_settings(
    name: str, parameters: int, settings: dict
) -> None:
    """Figures of the original study's notebooks."""
    arm = arms_of("seed")[name]
    common = {
        "lr": 1e-4,
        "schedule": "constant",
        "warmup_epochs": 0.0,
        "clip_grad": 0.0,
        "weight_decay": 0.01,
        "weight_decay_norms": True,
        "label_smoothing": 0.1,
        "precision": "fp32",
        "encodec_bandwidth": 1.5,
        "encodec_standardise": False,
    }
    off = dict.fromkeys(("mixup", "shift", "gain_db", "polarity", "drop_path", "ema", "crop_seconds"), 0.0)
    if name != "causal-lm":
        off |= {"sam_rho": 0.0, "code_lm": 0.0}
    expected = common | off | settings
    assert {knob: arm.fixed[knob] for knob in expected} == expected
    assert count_parameters(arm.config({}, 0), 50) == parameters


def test_on_the_small_preset_raw_arms_take_crops_and_say_so() -> None:
    arms = arms_of("small")
    for name, arm in arms.items():
        assert arm.fixed["crop_seconds"] == (1.5 if "raw" in name else 0.0)
    says = PRESETS["small"].describe((arm.fixed for arm in arms.values()), {})
    assert "raw audio in crops of 1.5 s" in says
    assert "8 kHz" not in says  # no arm of this script hears so little


def test_the_best_preset_changes_the_speed_of_waveforms_and_says_so_where_there_are_any() -> None:
    arms = arms_of("best")
    for name, arm in arms.items():
        assert arm.fixed["scale"] == (1.2 if "raw" in name or "logmel" in name else 0.0)
    says = PRESETS["best"].describe
    assert "speed and pitch" in says([arms["convnext-logmel"].fixed], {})
    assert "speed and pitch" not in says([arms["convnext-encodec"].fixed], {})


def test_what_a_preset_says_is_true_of_the_arms() -> None:
    (plain,) = make_arms(regularization(), ["convnext"], PRESETS["small"], {}, {})
    says = PRESETS["small"].describe([plain.fixed], {})
    assert "log-mel (64 bands, 50 frames/s) at 8 kHz" in says
    assert "crops" not in says


def test_the_default_regularizers_are_the_eight_of_the_readme() -> None:
    assert default_arms("regularization") == (
        *("baseline", "convnext", "dropout", "sam", "label-smoothing", "mixup", "shift", "all"),
    )


def test_arms_that_the_weights_make_the_same_are_named() -> None:
    assert twins(list(arms_of("small", {"encodec_weights": "untrained"}).values())) == [
        ("hifigan-encodec", "hifigan-untrained"),
        ("convnext-encodec", "convnext-untrained"),
    ]
    assert twins(list(arms_of("small").values())) == []
