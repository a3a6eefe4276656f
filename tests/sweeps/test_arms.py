"""What each arm fixes and varies."""

from __future__ import annotations

from typing import Any

import pytest

from esc50tune.config import TrialConfig
from esc50tune.errors import UserError
from esc50tune.models import MODELS
from esc50tune.regularizers import REGULARIZERS, active
from sweeps.arms import Arm, make_arms, search_range, without_effect
from sweeps.presets import PRESETS
from sweeps.studies import Study, architectures, regularization

PLAIN = ["weight-decay"]  # its default is on in every arm
BASES = ["convnext-raw", "convnext-raw24", "convnext-logmel", "convnext-encodec", "convnext-untrained", "causal"]
METHODS = [method for method in REGULARIZERS if method.name not in PLAIN]


def make(names: list[str], study: Study | None = None, preset: str = "full", **settings: Any) -> list[Arm]:
    return make_arms(study or regularization(), names, PRESETS[preset], {}, settings)


def names_on(arm: Arm) -> list[str]:
    return [method.name for method in active(TrialConfig.from_flat(arm.fixed)) if method.name not in PLAIN]


def base_for(method: type) -> str:
    return {"code-lm": "causal", "frequency-mask": "convnext-logmel"}.get(method.name, "convnext-raw")


def test_the_plain_arms_have_no_regularizer_on() -> None:
    assert [names_on(arm) for arm in make(["baseline", "convnext"])] == [[], []]
    for name, arm in zip(architectures().arms, make(list(architectures().arms), architectures()), strict=True):
        assert names_on(arm) == (["code-lm"] if name == "causal-lm" else [])


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_each_regularizers_arm_switches_on_that_one_alone(method) -> None:
    base = base_for(method)
    plain, arm = make([base, method.name], regularization(base=base))
    assert names_on(arm) == [method.name]
    changed = {knob for knob in plain.fixed if plain.fixed[knob] != arm.fixed[knob]}
    assert changed == set(method.on)


def test_the_arm_all_switches_on_the_usual_ones_together() -> None:
    (arm,) = make(["all"])
    assert set(names_on(arm)) == {"dropout", "sam", "label-smoothing", "mixup", "shift"}
    assert list(arm.space) == ["lr"]


@pytest.mark.parametrize("base", [None, *BASES])
def test_every_arm_tunes_its_learning_rate_and_holds_its_default_in_every_range(base: str | None) -> None:
    study = regularization(base=base)
    for name in study.arms:
        try:
            (arm,) = make([name], study, preset="seed")  # its learning rate is below the usual range
        except UserError:
            continue  # a method that the base has no place for
        assert "lr" in arm.space
        assert all(search.low <= arm.fixed[knob] <= search.high for knob, search in arm.space.items())


@pytest.mark.parametrize("base", BASES)
def test_regularizers_are_added_to_the_base(base: str) -> None:
    study = regularization(("baseline", "convnext", "shift"), base)
    expected = make([base], architectures())[0]
    baseline, plain, shift = make(list(study.default), study)
    assert (plain.name, plain.fixed) == (base, expected.fixed)
    assert baseline.fixed["model"] == "hifigan"
    inputs = ("feature", "sample_rate", "encodec_weights", "logmel_bands", "logmel_frames_per_second")
    assert all(baseline.fixed[knob] == shift.fixed[knob] == plain.fixed[knob] for knob in inputs)
    assert shift.fixed["model"] == plain.fixed["model"]
    assert (study.reference, study.against["shift"], study.against[base]) == (base, base, "baseline")


def test_the_weight_of_the_bases_own_task_is_fixed_and_not_searched() -> None:
    study = regularization(base="causal-lm")
    baseline, mixup = make(["baseline", "mixup"], study)
    assert baseline.fixed["code_lm"] == 0.0
    assert mixup.fixed["code_lm"] == 1.0
    assert set(mixup.space) == {"lr", "mixup"}
    assert set(make(["causal-lm"], architectures())[0].space) == {"lr", "code_lm"}


@pytest.mark.parametrize(("base", "sound"), [("convnext-encodec", False), ("convnext-raw", True)])
@pytest.mark.parametrize("name", ["shift", "all"])
def test_on_latents_shift_changes_neither_gain_nor_polarity(base: str, sound: bool, name: str) -> None:
    (arm,) = make([name], regularization(base=base))
    assert arm.fixed["shift"] == 1.0
    assert (arm.fixed["gain_db"], arm.fixed["polarity"]) == ((6.0, 0.5) if sound else (0.0, 0.0))


def test_a_setting_is_fixed_in_every_arm_and_no_longer_varied() -> None:
    for arm in make(["baseline", "dropout"], lr="0.002"):
        assert arm.fixed["lr"] == 0.002
        assert "lr" not in arm.space


@pytest.mark.parametrize("base", ["convnext-encodec", "causal-lm"])
def test_an_arm_never_has_less_of_its_method_than_the_plain_one(base: str) -> None:
    """The preset of the original study has dropout and label smoothing on, at .25 on EnCodec's features."""
    plain, dropout, combined = arms = make([base, "dropout", "all"], regularization(base=base), preset="seed")
    assert plain.fixed["dropout"] == combined.fixed["dropout"] == {"convnext-encodec": 0.25, "causal-lm": 0.05}[base]
    assert combined.fixed["mixup"] == 0.4
    assert without_effect(arms, arms[0]) == [dropout.name]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("base", ["convnext", *BASES, "causal-lm"])
def test_no_trial_of_an_arm_has_less_of_its_method_than_the_plain_one(base: str, preset: str) -> None:
    study = regularization(base=None if base == "convnext" else base)
    (plain,) = make([base], study, preset)
    for method in REGULARIZERS:
        try:
            (arm,) = make([method.name], study, preset)
        except UserError:
            continue  # a method that the base has no place for
        for knob in method.on:
            assert arm.fixed[knob] >= plain.fixed[knob]
            assert knob not in arm.space or arm.space[knob].low >= plain.fixed[knob]


ALL_BUT_ON = {"sam_rho": 0.05, "mixup": 0.4, "shift": 1.0}  # what the seed preset leaves off of the arm `all`


@pytest.mark.parametrize(
    ("base", "name", "changed"),
    [
        ("convnext", "mixup", {"mixup": 0.4}),
        ("convnext", "shift", {"shift": 1.0, "gain_db": 6.0, "polarity": 0.5}),
        ("convnext", "sam", {"sam_rho": 0.05}),
        ("convnext", "weight-decay", {"weight_decay": 0.1}),
        ("convnext", "statistics-pooling", {"convnext_pool": "statistics"}),
        ("convnext", "all", {**ALL_BUT_ON, "gain_db": 6.0, "polarity": 0.5}),
        ("convnext-raw", "crop", {"crop_seconds": 1.5}),
        ("convnext-logmel", "frequency-mask", {"frequency_mask": 0.2}),
        ("convnext-encodec", "shift", {"shift": 1.0}),
        ("convnext-encodec", "all", ALL_BUT_ON),
        ("causal", "code-lm", {"code_lm": 1.0}),
        ("causal-lm", "mixup", {"mixup": 0.4}),
        ("causal-lm", "all", {"mixup": 0.4, "shift": 1.0}),
    ],
)
def test_on_the_seed_preset_an_arm_is_the_plain_one_and_its_method(base: str, name: str, changed: dict) -> None:
    study = regularization(base=None if base == "convnext" else base)
    plain, arm = make([base, name], study, preset="seed")
    assert {knob: value for knob, value in arm.fixed.items() if value != plain.fixed[knob]} == changed
    assert set(arm.space) == {"lr"} | (set() if name == "all" else {knob for knob in changed if search_range(knob)})


@pytest.mark.parametrize(
    ("base", "on"),
    [
        ("convnext", ["dropout", "channel-dropout", "label-smoothing"]),
        ("convnext-encodec", ["dropout", "channel-dropout", "label-smoothing"]),
        ("causal-lm", ["dropout", "channel-dropout", "sam", "label-smoothing", "code-lm"]),
    ],
)
def test_what_the_seed_preset_has_on_gives_no_arm_of_its_own(base: str, on: list[str]) -> None:
    study = regularization(base=None if base == "convnext" else base)
    names = [*on, "mixup", "shift", "weight-decay", "all"]
    plain, *arms = make([base, *names], study, preset="seed")
    assert without_effect(arms, plain) == on


def test_only_a_base_that_pools_frames_so_has_an_arm_that_pools_them_otherwise() -> None:
    with pytest.raises(UserError, match="no arm is called 'statistics-pooling'"):
        make(["causal", "statistics-pooling"], regularization(base="causal"))


def test_crops_of_the_preset_give_way_to_clips_that_are_no_longer() -> None:
    for seconds, crop in ((0.25, 0.0), (1.5, 0.0), (2.0, 1.5)):
        (arm,) = make_arms(architectures(), ["convnext-raw"], PRESETS["small"], {"clip_seconds": seconds}, {})
        assert arm.fixed["crop_seconds"] == crop


def test_arms_that_equal_the_plain_one_are_named() -> None:
    arms = make(["baseline", "convnext", "dropout", "mixup"], dropout="0.1")
    assert without_effect(arms, arms[1]) == ["dropout"]


@pytest.mark.parametrize(
    ("names", "settings", "words"),
    [
        (["droput"], {}, ["droput", "did you mean 'dropout'"]),
        (["dropout", "dropout"], {}, ["dropout", "twice"]),
        (["dropout"], {"dropout": "0"}, ["--set dropout=0", "arm 'dropout'"]),
        (["baseline"], {"model": "convnext"}, ["--set model=convnext", "arm 'baseline'"]),
        (["mixup"], {"mixup": "-1"}, ["mixup", "greater than or equal to 0"]),
        (["code-lm"], {}, ["code_lm (1)", "feature 'encodec'"]),
        (["code-lm"], {"feature": "encodec"}, ["code_lm (1)", "'causal'", "'convnext'"]),
        (["frequency-mask"], {"feature": "raw"}, ["frequency_mask", "'raw'"]),
        (["scale"], {"feature": "encodec"}, ["scale", "'encodec'"]),
    ],
)
def test_bad_arms_are_refused_with_what_is_wrong(names: list[str], settings: dict, words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        make(names, **settings)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    ("arm", "knob", "value"),
    [
        ("hifigan-raw", "sample_rate", 16_000),
        ("hifigan-untrained", "encodec_weights", "pretrained"),
        ("convnext-logmel", "model", "hifigan"),
        ("causal-lm", "code_lm", 0.0),
    ],
)
def test_a_setting_may_not_turn_an_arm_into_another(arm: str, knob: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"--set {knob}={value} contradicts arm '{arm}'"):
        make([arm], architectures(), **{knob: value})


def test_the_weight_of_a_task_may_be_set() -> None:
    assert make(["causal-lm"], architectures(), code_lm=0.3)[0].fixed["code_lm"] == 0.3


def test_an_unknown_base_is_refused() -> None:
    with pytest.raises(UserError, match="no base is called 'convnext-mel'; did you mean 'convnext-"):
        regularization(base="convnext-mel")


def short(names: list[str], study: Study, seconds: float, **settings: Any) -> list[Arm]:
    """Arms of the small preset, on data whose clips have so many seconds."""
    return make_arms(study, names, PRESETS["small"], {"clip_seconds": seconds}, settings)


@pytest.mark.parametrize(
    ("seconds", "settings", "crop"),
    [
        (1.6, {}, 1.5),
        (1.5, {}, 0.0),  # such a crop leaves nothing out
        (1.0, {}, 0.0),
        (5.0, {"clip_seconds": "1"}, 0.0),
        (1.0, {"clip_seconds": "2"}, 1.5),
        (1.0, {"crop_seconds": "0.5"}, 0.5),
    ],
)
def test_the_presets_crops_are_dropped_where_no_clip_is_longer(seconds: float, settings: dict, crop: float) -> None:
    (arm,) = short(["convnext-raw"], architectures(), seconds, **settings)
    assert arm.fixed["crop_seconds"] == crop
    said = PRESETS["small"].describe([arm.fixed], {})
    assert ("raw audio in whole clips, no crops" in said) == (crop == 0)
    assert ("raw audio in crops of 1.5 s" in said) == (crop == 1.5)


def test_a_crop_that_the_user_sets_longer_than_the_clips_is_refused() -> None:
    with pytest.raises(UserError, match=r"crop_seconds \(2\) is longer than clip_seconds \(1\): lower the one"):
        short(["convnext-raw"], architectures(), 1.0, crop_seconds="2")


@pytest.mark.parametrize("seconds", [1.0, 1.5])
def test_an_arm_of_crops_as_long_as_the_clips_is_refused(seconds: float) -> None:
    with pytest.raises(
        UserError, match=f"arm 'crop' trains on crops of 1.5 s, and clips have {seconds:g} s here: leave"
    ):
        short(["convnext", "crop"], regularization(), seconds)
    assert short(["convnext", "crop"], regularization(), 2.0)[1].fixed["crop_seconds"] == 1.5


def test_an_arm_whose_layers_its_model_has_no_branch_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODELS["convnext"], "branches", False)
    for name in ("dropout", "channel-dropout", "drop-path", "all"):
        with pytest.raises(
            UserError, match=f"arm '{name}': .* stands in residual branches, which model 'convnext' has not"
        ):
            make([name])
    make(["baseline", "convnext", "mixup", "sam"])
