"""`--detect`: what a difference costs, from what is measured where anything is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.load import Results, load_results
from analysis.power import Design, assumed_noise, power
from analysis.statistics import measured_noise
from esc50tune.data.dataset import Dataset
from esc50tune.errors import UserError
from sweeps.confirmation import plan_confirmation
from sweeps.proposal import command, measure_noise, points, propose
from sweeps.resources import Machine, share_machines
from tests.analysis.made import ARMS, captured, write_study
from tests.sweeps.test_confirm import results_of


def searched(tones: Dataset, against: str | None = "baseline") -> Results:
    """A sweep of 60 clips whose two arms are compared with each other, or not."""
    results = results_of(tones, {"baseline": [0.5], "convnext": [0.6]})
    results.manifest["arms"][1]["against"] = against
    results.manifest["reference"] = "convnext"
    return results


def proposed(results: Results, folder: Path, percent: float, folds: str = "all") -> str:
    console = captured()
    plan = plan_confirmation(results, folder, 1, folds, 1)
    propose(results, plan, percent / 100, share_machines([Machine(2, 0)], None, None), console)
    return " ".join(console.file.getvalue().split())


def test_before_anything_is_confirmed_the_noise_is_assumed_and_said_to_be(tones: Dataset, tmp_path: Path) -> None:
    said = proposed(searched(tones), tmp_path, 20)
    assert "noise assumed, as no two seeds are confirmed: any two runs disagree on 20 % of the clips" in said
    # 1.15 * (.2 - .12) / 60 clips: a standard error of 3.9 points is left with seeds without end. With two
    # arms it takes 3.5 of them: played out, as in test_power.py, t of 4 folds' freedom where the folds decide alone.
    assert "seeds find no less than 13.7 points" in said
    assert "seeds find a true difference of 20 points in 8 of 10 studies" in said
    assert not list(tmp_path.iterdir())


def confirmed(folder: Path, seeds: int = 3) -> Results:
    """A study of 60 clips with what was confirmed of two arms, which know different clips."""
    return load_results(write_study(folder, arms=ARMS[:2], seeds=seeds))


def test_what_is_confirmed_tells_the_noise(tones: Dataset, tmp_path: Path) -> None:
    results = replace(searched(tones), confirmed=confirmed(tmp_path / "study").confirmed)
    noise, clips = measure_noise(results)
    noise = noise["baseline-vs-convnext"]
    assert clips == 60
    assert noise.lasting >= 0 < noise.passing
    said = proposed(results, tmp_path, 30)
    assert "measured on the runs confirmed so far, the mean of a table's comparisons" in said
    assert f"baseline-vs-convnext: {100 * (noise.lasting + noise.passing) ** 0.5:.1f} points with one seed" in said
    assert "assumed" not in said


def test_fewer_folds_than_planned_are_noisier_by_their_clips(tones: Dataset, tmp_path: Path) -> None:
    one = load_results(write_study(tmp_path / "one", arms=ARMS[:2], seeds=3, folds=(5,))).confirmed
    noise, clips = measure_noise(replace(searched(tones), confirmed=one))
    noise = noise["baseline-vs-convnext"]
    said = proposed(replace(searched(tones), confirmed=one), tmp_path, 30)
    assert clips == 12
    assert f"{100 * ((noise.lasting + noise.passing) / 5) ** 0.5:.1f} points with one seed" in said


def test_one_seed_does_not_tell_the_noise(tones: Dataset, tmp_path: Path) -> None:
    results = replace(searched(tones), confirmed=confirmed(tmp_path / "study", seeds=1).confirmed)
    assert measure_noise(results) == ({}, 60)
    assert "assumed" in proposed(results, tmp_path, 30)


def test_a_difference_below_what_clips_allow_gets_no_number_of_seeds(tones: Dataset, tmp_path: Path) -> None:
    results = replace(searched(tones), confirmed=confirmed(tmp_path / "study").confirmed)
    said = proposed(results, tmp_path, 0.01)
    assert "no number of seeds finds a true difference of 0.01 points, only more clips do" in said
    assert "runs on" not in said


@pytest.mark.parametrize(("folds", "tested", "percent"), [("test", 1, 50), ("all", 5, 16)])
def test_seeds_are_those_of_the_table_that_needs_more(
    tones: Dataset, tmp_path: Path, folds: str, tested: int, percent: int
) -> None:
    """On one fold that is the small one, whose error is told from fewer runs; on five the large one."""
    names = ["baseline", "convnext", *(f"arm{number}" for number in range(6))]
    results = results_of(tones, {arm: [0.5] for arm in names})
    for arm, against in zip(results.manifest["arms"], [None, "baseline", *["convnext"] * 6], strict=True):
        arm |= {"against": against, "on": [], "fixed": {"model": "convnext"}}
    results.manifest["reference"] = "convnext"
    noise = assumed_noise(12 * tested, tested)

    def enough(compared: int) -> int:
        design = Design(tested, compared, compared)
        return next(s for s in range(design.least_seeds, 99) if power(percent / 100, noise, s, design) >= 0.8)

    few, many = enough(1), enough(6)
    assert few > many if folds == "test" else few < many
    said = proposed(results, tmp_path, percent, folds)
    found = f"seeds find a true difference of {percent} points in 8 of 10 studies of this design"
    assert f"baseline-vs-convnext: {few} {found}" in said
    assert f"regularization-ablation: {many} {found}" in said
    assert f"{8 * tested * max(few, many)} runs on {tested} fold" in said


def test_each_table_has_its_own_noise_and_need_of_seeds(tmp_path: Path) -> None:
    """Two models know different clips; two regularizers of one model know the same."""
    results = load_results(write_study(tmp_path / "study", arms=ARMS[:3], seeds=3))
    baseline, convnext, other = (arm["name"] for arm in ARMS[:3])
    noise, _ = measure_noise(results)
    correct, folds, sources = results.confirmed.correct()
    assert noise["baseline-vs-convnext"] == measured_noise(correct, {baseline: [convnext]}, folds, sources)
    assert noise["regularization-ablation"] == measured_noise(correct, {convnext: [other]}, folds, sources)
    assert noise["baseline-vs-convnext"] != noise["regularization-ablation"]


def test_without_arms_to_compare_there_is_nothing_to_detect(tones: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no two of this sweep's arms are compared"):
        proposed(searched(tones, against=None), tmp_path, 2)


@pytest.mark.parametrize("text", ["much", "0", "-1", "100", "nan", "inf", ""])
def test_a_difference_is_a_number_of_points(text: str) -> None:
    with pytest.raises(UserError, match=f"--detect {text}: give a difference in points"):
        points(text)


@pytest.mark.parametrize(
    ("folds", "top", "flags"), [("all", 1, ""), ("test", 1, " --folds test"), ("all", 2, " --top 2")]
)
def test_the_command_that_is_proposed_runs_what_was_reckoned(
    tones: Dataset, tmp_path: Path, folds: str, top: int, flags: str
) -> None:
    results = results_of(tones, {"baseline": [0.5, 0.4], "convnext": [0.6, 0.5]})
    plan = plan_confirmation(results, tmp_path, 1, folds, top)
    assert command(plan, 7) == f"python sweeps/confirm.py {tmp_path} --seeds 7{flags}"
