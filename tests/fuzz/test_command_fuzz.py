"""Any knobs, settings and command lines are taken or refused; never anything else, and nothing is written."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esc50tune.config import TrialConfig, parse_setting
from esc50tune.errors import UserError
from esc50tune.features import FEATURES
from sweeps.arms import make_arms
from sweeps.cli import make_parser
from sweeps.confirm import make_parser as make_confirm_parser
from sweeps.console import seconds
from sweeps.folder import results_folder
from sweeps.plan import make_plan
from sweeps.presets import PRESETS
from sweeps.proposal import points
from sweeps.resources import Machine
from sweeps.studies import architectures, regularization
from tests.fuzz.damage import TEXTS, VALUES, accepted_or_refused, inputs

KNOBS = st.one_of(st.sampled_from(sorted(TrialConfig.model_fields)), TEXTS)
STUDIES = {"regularization": regularization(("baseline", "convnext")), "architectures": architectures(("causal-lm",))}
WORDS = sorted({*PRESETS, "tpe", "none", *(arm for study in STUDIES.values() for arm in study.arms)})


@inputs(few=150, percent=6)
@given(flat=st.dictionaries(KNOBS, VALUES, max_size=4))
def test_any_configuration(flat: dict) -> None:
    with accepted_or_refused():
        config = TrialConfig.from_flat(flat)
        assert TrialConfig.from_flat(config.to_flat()) == config


@inputs(few=100, percent=3)
@given(text=st.one_of(TEXTS, st.builds("{}={}".format, KNOBS, TEXTS)))
def test_any_setting(text: str) -> None:
    with accepted_or_refused():
        TrialConfig.from_flat(dict([parse_setting(text)]))


@inputs(few=100, percent=1)
@given(text=st.one_of(TEXTS, st.from_regex(r"[0-9.]{1,6}[smh]?", fullmatch=True)))
def test_any_length_of_time_or_difference(text: str) -> None:
    for read in (seconds, points):
        with accepted_or_refused():
            assert read(text) > 0


def flags(parser: argparse.ArgumentParser) -> list[str]:
    return sorted(flag for action in parser._actions for flag in action.option_strings if flag not in ("-h", "--help"))


@st.composite
def command_lines(draw: st.DrawFn, parser: argparse.ArgumentParser) -> list[str]:
    """Return a few flags, most of them known, each with a value that may or may not do."""
    setting = st.builds("{}={}".format, KNOBS, TEXTS)
    names = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(",".join)
    values = st.one_of(
        TEXTS, st.sampled_from(WORDS), names, setting, st.integers(-1, 99).map(str), st.floats().map(str)
    )
    line = []
    for _ in range(draw(st.integers(0, 4))):
        flag = draw(st.sampled_from(flags(parser)) if draw(st.integers(0, 9)) else TEXTS)
        line += draw(st.sampled_from([[flag], [flag, draw(values)], [f"{flag}={draw(values)}"]]))
    return line


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with a folder of results."""
    folder, before = tmp_path_factory.mktemp("fuzz"), Path.cwd()
    (folder / "results").mkdir()
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.mark.parametrize("script", STUDIES)
@inputs(few=60, percent=5)
@given(data=st.data())
def test_any_command_line(script: str, here: Path, data: st.DataObject) -> None:
    parser = make_parser(script, "a sweep", STUDIES[script].default)
    line = data.draw(command_lines(parser))
    with accepted_or_refused():
        args = parser.parse_args(line)
        results_folder(args)
        args.data = "nowhere"  # what can be checked without data is checked before they are looked for
        make_plan(args, [Machine(2, data.draw(st.integers(0, 1)))])
        raise AssertionError("data that are not there were read")
    assert [path.name for path in here.rglob("*")] == ["results"]


@pytest.mark.parametrize("weights", ["x" * 300, "~stranger/x", "a\0b", "a\nb", "", "/dev/null"])
def test_any_name_of_a_file_of_weights(weights: str) -> None:
    config = TrialConfig(feature="encodec", sample_rate=24_000, encodec_weights=weights)
    with pytest.raises(UserError, match=r"^--encodec-weights: no file '.*'; give pretrained") as caught:
        FEATURES["encodec"].require(config)
    assert str(caught.value).isprintable()


@inputs(few=40, percent=1)
@given(data=st.data())
def test_any_command_line_of_the_second_phase(data: st.DataObject) -> None:
    parser = make_confirm_parser()
    with accepted_or_refused():
        parser.parse_args(data.draw(command_lines(parser)))


@inputs(few=40, percent=2)
@given(data=st.data())
def test_any_settings_of_any_arms(data: st.DataObject) -> None:
    study, preset = (
        data.draw(st.sampled_from(list(STUDIES.values()))),
        data.draw(st.sampled_from(list(PRESETS.values()))),
    )
    names = data.draw(st.lists(st.sampled_from(sorted(study.arms)), min_size=1, max_size=3))
    with accepted_or_refused():
        settings = dict(
            parse_setting(text) for text in data.draw(st.lists(st.builds("{}={}".format, KNOBS, TEXTS), max_size=2))
        )
        for arm in make_arms(study, names, preset, {}, settings):
            assert arm.config({}, 0).to_flat() == arm.fixed | {"seed": 0}
