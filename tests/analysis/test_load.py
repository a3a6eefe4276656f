"""A trial's configuration has all knobs of its arm, with values that they can have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.alerts import alerts
from analysis.errors import ResultsError
from analysis.load import load_results
from tests.analysis.made import ARMS, FIXED, write_study

ALONE = {"arms": ARMS[:3], "per_class": 2, "confirm": False}


def edit_deals(folder: Path, **changes: object) -> None:
    """Change all deals of a log; what is None goes."""
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    for event in events:
        if event["event"] == "deal":
            event |= changes
    lines = [json.dumps({key: value for key, value in event.items() if value is not None}) for event in events]
    (folder / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))


def configs(folder: Path) -> list[dict]:
    return [event["config"] for event in load_results(folder).events if event["event"] == "deal"]


@pytest.mark.parametrize("config", [None, {}, {"dropout": 0.5}])
def test_knobs_that_a_deal_leaves_out_are_those_of_the_arm_and_what_was_sampled(tmp_path: Path, config: dict) -> None:
    folder = write_study(tmp_path / "sweep", **ALONE)
    edit_deals(folder, config=config, sampled={"lr": 2e-3})
    assert configs(folder)[0] == FIXED | {"model": "hifigan", "lr": 2e-3} | (config or {})


@pytest.mark.parametrize(
    ("sampled", "config"), [({"lr": 0.0}, None), ({"lr": -1.0}, {}), ({"lr": 1e-3}, {"lr": "fast"}), ({"lr": 1e13}, {})]
)
def test_a_value_that_is_none_on_the_scale_of_its_knob_is_damage(tmp_path: Path, sampled: dict, config: dict) -> None:
    folder = write_study(tmp_path / "sweep", **ALONE)
    edit_deals(folder, config=config, sampled=sampled)
    with pytest.raises(ResultsError, match=r"events.jsonl' is damaged: trial 0 has a value that its arm cannot have"):
        load_results(folder)


def test_a_log_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "sweep", **ALONE)
    assert load_results(folder).lost == ""
    (folder / "events.jsonl").unlink()
    results = load_results(folder)
    assert results.lost == "'events.jsonl' is missing or empty: nothing is known of the search's trials."
    assert alerts(results) == [results.lost]
