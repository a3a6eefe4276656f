"""The configuration of a trial: checked, complete, and equal after a journey through a file."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from esc50tune.config import TrialConfig, parse_setting
from esc50tune.errors import UserError
from esc50tune.features import FEATURES
from esc50tune.models import MODELS
from esc50tune.regularizers import REGULARIZERS
from tests.conftest import all_on

FIELDS = TrialConfig.model_fields
SEARCHES = {name: search for name, field in FIELDS.items() if (search := field.json_schema_extra["search"])}
CODES = {"model": "causal", "feature": "encodec", "sample_rate": 24_000}  # what a language model of codes needs


def needed(knob: str) -> dict:
    return CODES if knob == "code_lm" else {}


@pytest.mark.parametrize(
    "flat",
    [
        {},
        {"lr": 3.3e-4, "convnext_depths": [1, 2], "seed": 2**63 - 1, "model": "hifigan", "feature": "raw"},
        {"epochs": 3, "warmup_epochs": 0.1, "precision": "bf16", **all_on()},
        {"causal_norm": "group", "causal_pool": "last", "encodec_bandwidth": 3.0, **CODES, **all_on("encodec")},
    ],
)
def test_a_config_survives_json(flat):
    config = TrialConfig.from_flat(flat)
    written = json.dumps(config.to_flat(), allow_nan=False)
    assert TrialConfig.from_flat(json.loads(written)) == config
    assert set(json.loads(written)) == set(FIELDS)
    assert {name: config.to_flat()[name] for name in flat} == flat


@pytest.mark.parametrize(
    ("flat", "words"),
    [
        ({"dropuot": 0.1}, ["'dropuot'", "did you mean 'dropout'"]),
        ({"model": "convnxt"}, ["'convnxt'", f"one of {', '.join(MODELS)}"]),
        ({"feature": "logmell"}, ["'logmell'", f"one of {', '.join(FEATURES)}"]),
        ({"model": "zzz"}, ["'zzz'", f"one of {', '.join(MODELS)}", "convnext", "hifigan"]),
        ({"dropout": 1.0}, ["dropout = 1.0", "less than 1"]),
        ({"lr": 0.0}, ["lr = 0.0", "greater than 0"]),
        ({"lr": float("nan")}, ["lr = nan", "finite"]),
        ({"clip_grad": float("inf")}, ["clip_grad = inf", "finite"]),
        ({"epochs": 0}, ["epochs = 0"]),
        ({"epochs": 1.5}, ["epochs = 1.5", "integer"]),
        ({"batch_size": "many"}, ["batch_size = 'many'", "integer"]),
        ({"schedule": "step"}, ["schedule = 'step'", "cosine"]),
        ({"seed": -1}, ["seed = -1"]),
        ({"seed": 2**63}, ["seed = "]),
        ({"hifigan_channels": 30}, ["hifigan_channels = 30", "multiple of 4"]),
        ({"convnext_kernel": 8}, ["convnext_kernel", "odd", "8"]),
        ({"convnext_depths": [3, 0]}, ["convnext_depths = 0", "greater than or equal to 1"]),
        ({"convnext_depths": []}, ["convnext_depths"]),
        ({"convnext_depths": ["3", "x"]}, ["convnext_depths", "'x'"]),
        ({"convnext_stem_kernel": 2, "convnext_stem_stride": 4}, ["convnext_stem_kernel (2)", "stride (4)"]),
        ({"epochs": 5, "warmup_epochs": 5}, ["warmup_epochs (5)", "below epochs (5)"]),
        ({"model": "causal", "feature": "raw"}, ["model 'causal'", "feature 'raw'"]),
        ({"model": "causal", "causal_kernel": 0}, ["causal_kernel = 0"]),
        ({"model": "causal", "causal_norm": "batch"}, ["causal_norm = 'batch'", "frame"]),
        ({"model": "causal", "causal_pool": "max"}, ["causal_pool = 'max'", "mean"]),
        ({"code_lm": 1.0, "feature": "raw"}, ["code_lm (1)", "feature 'encodec'", "'raw'"]),
        ({"code_lm": 0.5}, ["code_lm (0.5)", "feature 'encodec'", "'logmel'"]),
        ({"code_lm": 0.5, "model": "causal"}, ["code_lm (0.5)", "feature 'encodec'", "'logmel'"]),
        ({"code_lm": 1.0, **CODES, "model": "convnext"}, ["code_lm (1)", "model", "'causal'", "'convnext'"]),
        ({"code_lm": 1.0, **CODES, "model": "hifigan"}, ["code_lm (1)", "model", "'causal'", "'hifigan'"]),
        ({"code_lm": -1.0, **CODES}, ["code_lm = -1.0"]),
        ({"code_smoothing": 1.0, **CODES}, ["code_smoothing = 1.0", "less than 1"]),
        ({"encodec_bandwidth": 2.0, **CODES}, ["encodec_bandwidth = 2.0", "one of 1.5, 3, 6, 12, 24"]),
        ({**CODES, "sample_rate": 44_100}, ["feature 'encodec'", "sample_rate=24000", "44100"]),
        ({"frequency_mask": 0.2, "feature": "raw"}, ["frequency_mask (0.2)", "feature 'raw'"]),
        ({"sam_rho": -0.05}, ["sam_rho = -0.05"]),
        ({"convnext_pool": "statistics", "batch_size": 1}, ["convnext_pool", "batch_size (1)", "batch_parts (1)"]),
        (
            {"model": "hifigan", "hifigan_pool": "statistics", "batch_size": 4, "batch_parts": 4},
            ["hifigan_pool", "batch_size (4)", "batch_parts (4)"],
        ),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_one_line_that_names_it(flat, words):
    with pytest.raises(UserError) as error:
        TrialConfig.from_flat(flat)
    message = str(error.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("lr=1e-3", "lr", 1e-3),
        ("epochs=12", "epochs", 12),
        ("model=hifigan", "model", "hifigan"),
        ("convnext_depths=1,2, 3", "convnext_depths", (1, 2, 3)),
        ("convnext_depths=4", "convnext_depths", (4,)),
    ],
)
def test_a_setting_of_the_command_line_becomes_its_knob(text, name, value):
    parsed, raw = parse_setting(text)
    assert parsed == name
    got = getattr(TrialConfig.from_flat({parsed: raw}), name)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lr", "key=value, not 'lr'"),
        ("", "key=value, not ''"),
        ("drop_pth=0.1", "did you mean 'drop_path'"),
        ("=3", "no knob is called ''"),
    ],
)
def test_a_setting_that_names_no_knob_is_refused(text, words):
    with pytest.raises(UserError, match=words):
        parse_setting(text)


@pytest.mark.parametrize("text", ["convnext_depths=", "convnext_depths=3,", "epochs=", "epochs=3=4"])
def test_a_setting_with_a_malformed_value_is_refused_by_the_config(text):
    name, value = parse_setting(text)
    with pytest.raises(UserError, match=name):
        TrialConfig.from_flat({name: value})


def test_a_config_cannot_be_changed():
    config = TrialConfig()
    with pytest.raises(ValidationError):
        config.lr = 1e-2
    assert config == TrialConfig()
    assert hash(config) == hash(TrialConfig())


@pytest.mark.parametrize("name", FIELDS)
def test_every_knob_says_what_it_does(name):
    assert FIELDS[name].description.strip()


@pytest.mark.parametrize("name", SEARCHES)
def test_what_a_sweep_samples_is_valid(name):
    search = SEARCHES[name]
    assert search.low < search.high
    assert search.low > 0  # 0 is off, and has no logarithm
    for value in (search.low, search.high):
        assert getattr(TrialConfig.from_flat(needed(name) | {name: value}), name) == value


def test_the_learning_rate_is_searched_around_its_default():
    assert SEARCHES["lr"].low < TrialConfig().lr < SEARCHES["lr"].high


@pytest.mark.parametrize("method", REGULARIZERS, ids=lambda method: method.name)
def test_a_regularizer_starts_inside_its_searched_ranges(method):
    assert set(method.on) <= set(method.Knobs.model_fields)
    place = {}
    for name in set(method.on) & set(SEARCHES):
        value = method.on[name]
        assert SEARCHES[name].low <= value <= SEARCHES[name].high
        place |= needed(name)
    off = TrialConfig.from_flat(place | dict.fromkeys(method.on, 0.0))
    assert not method.is_on(off)
    assert method.is_on(TrialConfig.from_flat(off.to_flat() | method.on))


def test_all_knobs_of_regularizers_but_weight_decay_are_off_by_default():
    assert [method.name for method in REGULARIZERS if method.is_on(TrialConfig())] == ["weight-decay"]
    assert TrialConfig().weight_decay == 0.01


@pytest.mark.parametrize("name", list(TrialConfig.model_fields))
def test_every_knobs_default_survives_the_command_line(name):
    default = getattr(TrialConfig(), name)
    text = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    knob, value = parse_setting(f"{name}={text}")
    assert getattr(TrialConfig.from_flat({knob: value}), name) == default
