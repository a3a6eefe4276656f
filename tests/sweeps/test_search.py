"""Which points an arm tries."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import qmc

from esc50tune.knobs import Search
from sweeps.arms import Arm
from sweeps.search import next_point
from sweeps.state import Trial

ARM = Arm("mixup", {"lr": 1e-3, "mixup": 0.4}, {"lr": Search(1e-4, 1e-2, log=True), "mixup": Search(0.0, 1.0)})


def ended(number: int, lr: float, score: float, reason: str | None = "finished") -> Trial:
    epochs = [{"epoch": 1, "val_acc": score, "diverged": False}]
    return Trial(number, "mixup", {"sampled": {}}, {"lr": lr, "mixup": 0.5}, epochs, reason=reason)


@pytest.mark.parametrize("search", ["sobol", "tpe", "random"])
def test_the_first_point_is_the_default_setting(search: str) -> None:
    assert next_point(ARM, search, 0, 0, []) == {}


@pytest.mark.parametrize("search", ["sobol", "tpe", "random"])
def test_points_are_a_function_of_seed_and_index_and_lie_in_the_range(search: str) -> None:
    points = [next_point(ARM, search, 7, index, []) for index in range(1, 9)]
    assert points == [next_point(ARM, search, 7, index, []) for index in range(1, 9)]
    assert len({point["lr"] for point in points}) == 8
    assert all(1e-4 <= point["lr"] <= 1e-2 and 0.0 <= point["mixup"] <= 1.0 for point in points)
    assert next_point(ARM, search, 8, 3, []) != points[2]


def test_sobol_points_fill_each_axis_as_evenly_as_a_sobol_sequence_does() -> None:
    points = [next_point(ARM, "sobol", 0, index, []) for index in range(1, 9)]
    unit = np.array([[np.log10(point["lr"] / 1e-4) / 2, point["mixup"]] for point in points])
    # Any 8 points of a scrambled Sobol sequence that starts at 0 put one into each eighth of each axis.
    assert all(sorted((unit[:, axis] * 8).astype(int)) == list(range(8)) for axis in range(2))
    assert qmc.discrepancy(unit) < qmc.discrepancy(np.random.default_rng(0).uniform(size=(8, 2)))


@pytest.mark.parametrize("search", ["sobol", "random"])
def test_sobol_and_random_points_do_not_depend_on_scores(search: str) -> None:
    history = [ended(0, 1e-3, 0.9), ended(1, 5e-3, 0.1, "stopped")]
    assert next_point(ARM, search, 0, 2, history) == next_point(ARM, search, 0, 2, [])


def test_tpe_learns_from_full_runs() -> None:
    history = [ended(i, lr, 0.9 if lr < 5e-4 else 0.2) for i, lr in enumerate(np.geomspace(1.1e-4, 9e-3, 16))]
    rates = [next_point(ARM, "tpe", seed, 16, history)["lr"] for seed in range(20)]
    assert np.median(rates) < 7e-4


def test_tpe_ranks_a_trial_cut_short_below_every_full_one_whatever_its_score() -> None:
    full = [ended(i, lr, 0.3 + 0.01 * i) for i, lr in enumerate(np.geomspace(1.1e-4, 4e-4, 8))]
    cut = [ended(8 + i, lr, 0.99, "stopped") for i, lr in enumerate(np.geomspace(2e-3, 9e-3, 8))]
    rates = [next_point(ARM, "tpe", seed, 16, full + cut)["lr"] for seed in range(20)]
    assert np.median(rates) < 1e-3


@pytest.mark.parametrize("reason", ["error", "diverged", None])
def test_tpe_bears_failed_diverged_and_running_trials(reason: str | None) -> None:
    assert next_point(ARM, "tpe", 0, 5, [ended(i, 1e-3, 0.5, reason) for i in range(5)])


def test_tpe_learns_nothing_from_points_outside_of_ranges_that_other_code_narrowed() -> None:
    within = [ended(i, lr, 0.9 if lr < 5e-4 else 0.2) for i, lr in enumerate(np.geomspace(1.1e-4, 9e-3, 16))]
    lacking = ended(17, 1e-3, 0.5)
    del lacking.config["mixup"]
    outside = [ended(16, 1e-2 + 1e-9, 0.95), ended(18, 1e-4 - 1e-9, 0.95), lacking]
    assert next_point(ARM, "tpe", 0, 16, within + outside) == next_point(ARM, "tpe", 0, 16, within)
