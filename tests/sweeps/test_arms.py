"""What each arm fixes and varies."""

from __future__ import annotations

import pytest

from esc50tune.config import TrialConfig
from esc50tune.errors import UserError
from esc50tune.regularizers import REGULARIZERS, active
from sweeps.arms import known_arms, make_arms

PLAIN = ["weight-decay"]  # its default is on in every arm


def names_on(arm) -> list[str]:
    return [method.name for method in active(TrialConfig.from_flat(arm.fixed)) if method.name not in PLAIN]


def test_the_plain_arms_have_no_regularizer_on() -> None:
    assert [names_on(arm) for arm in make_arms(["baseline", "convnext"], {}, {})] == [[], []]


@pytest.mark.parametrize("method", [m for m in REGULARIZERS if m.name not in PLAIN], ids=lambda m: m.name)
def test_each_regularizers_arm_switches_on_that_one_alone(method) -> None:
    (arm,) = make_arms([method.name], {}, {})
    assert names_on(arm) == [method.name]
    assert arm.fixed["model"] == "convnext"


def test_the_arm_all_switches_on_the_usual_ones_together() -> None:
    (arm,) = make_arms(["all"], {}, {})
    assert set(names_on(arm)) == {"dropout", "drop-path", "label-smoothing", "mixup", "shift"}


@pytest.mark.parametrize("name", sorted(known_arms()))
def test_every_arm_tunes_its_learning_rate_and_holds_its_default_in_every_range(name: str) -> None:
    (arm,) = make_arms([name], {"lr": 1e-5}, {})  # below the usual range, as a preset may set it
    assert "lr" in arm.space
    assert all(search.low <= arm.fixed[knob] <= search.high for knob, search in arm.space.items())


def test_a_setting_is_fixed_in_every_arm_and_no_longer_varied() -> None:
    for arm in make_arms(["baseline", "dropout"], {"lr": 1e-3}, {"lr": "0.002"}):
        assert arm.fixed["lr"] == 0.002
        assert "lr" not in arm.space


@pytest.mark.parametrize(
    ("names", "settings", "words"),
    [
        (["droput"], {}, ["droput", "did you mean 'dropout'"]),
        (["dropout", "dropout"], {}, ["dropout", "twice"]),
        (["dropout"], {"dropout": "0"}, ["--set dropout=0", "arm 'dropout'"]),
        (["baseline"], {"model": "convnext"}, ["--set model=convnext", "arm 'baseline'"]),
        (["mixup"], {"mixup": "-1"}, ["mixup", "greater than or equal to 0"]),
    ],
)
def test_bad_arms_are_refused_with_what_is_wrong(names: list[str], settings: dict, words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        make_arms(names, {}, settings)
    assert all(word in str(error.value) for word in words)
