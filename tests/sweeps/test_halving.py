"""Successive halving within one arm: who waits, until when, and who goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.failure import Failure
from sweeps.halving import judged, rung_epoch
from sweeps.state import Trial
from tests.sweeps.test_driver import ARMS, EPOCHS, make_driver, result, run

RUNG = 4  # of 10 epochs


def trial(number: int, loss: float, epochs: int = RUNG, waiting: bool = True, reason: str | None = None) -> Trial:
    told = [result(epoch, 0.5) | {"val_loss": loss} for epoch in range(1, epochs + 1)]
    return Trial(number, "convnext", {}, {}, told, waiting=waiting, reason=reason)


def waiting(losses: list[float]) -> list[Trial]:
    return [trial(number, loss) for number, loss in enumerate(losses)]


def going_on(trials: list[Trial], planned: int) -> dict[int, bool]:
    decided = {}
    for one, goes_on in judged(trials, planned, EPOCHS):
        decided[one.number], one.waiting = goes_on, False
        one.reason = None if goes_on else "stopped"
    return decided


@pytest.mark.parametrize(("planned", "full"), [(9, 4), (8, 3), (5, 2), (3, 2), (2, 1), (1, 1)])
def test_three_eighths_of_an_arms_trials_run_in_full_those_with_the_lowest_loss(planned: int, full: int) -> None:
    decided = going_on(waiting([1 - 0.1 * number for number in range(planned)]), planned)
    assert [n for n, goes_on in decided.items() if goes_on] == list(range(planned - full, planned))
    assert len(decided) == planned


@pytest.mark.parametrize(("epochs", "rung"), [(60, 24), (10, 4), (3, 1), (2, 1), (1, 1)])
def test_the_rung_is_at_two_fifths_of_the_schedule(epochs: int, rung: int) -> None:
    assert rung_epoch(epochs) == rung


def test_none_is_judged_before_all_have_come_so_far() -> None:
    trials = waiting([0.9, 0.1, 0.5])
    assert going_on(trials, planned=4) == {}  # one is not even dealt
    late = trial(3, 0.2, RUNG - 1, waiting=False)
    assert going_on([*trials, late], planned=4) == {}
    late.epochs.append(result(RUNG, 0.5) | {"val_loss": 0.2})
    late.waiting = True
    assert going_on([*trials, late], planned=4) == {0: False, 1: True, 2: False, 3: True}


def test_a_trial_that_failed_or_diverged_holds_nobody_up_and_takes_nobodys_place() -> None:
    failed = trial(2, 0.1, 2, waiting=False, reason="error")
    diverged = trial(3, 0.1, RUNG - 1, waiting=False, reason="diverged")
    diverged.epochs.append(result(RUNG, 0.0, diverged=True))
    assert going_on([*waiting([0.3, 0.2]), failed, diverged], planned=4) == {0: True, 1: True}


def test_equal_losses_are_told_apart_by_the_accuracy_and_then_by_the_number() -> None:
    trials = waiting([0.5, 0.5, 0.5])
    trials[1].epochs[-1]["val_acc"] = 0.6
    assert going_on(trials, planned=3) == {0: True, 1: True, 2: False}


def test_trials_that_come_later_are_ranked_among_those_of_before() -> None:
    before = waiting([0.9, 0.4, 0.5, 0.8])
    going_on(before, planned=4)
    later = [trial(4, 0.7), trial(5, 0.3)]
    # With the two of before, the best 3 of 6.
    assert going_on([*before, *later], planned=6) == {4: False, 5: True}
    assert [one.number for one in before if one.reason is None] == [1, 2]


def test_after_an_extension_what_was_stopped_takes_nobodys_place() -> None:
    before = waiting([0.1 * n for n in range(1, 9)])
    going_on(before, planned=8)
    for one in before:
        one.reason = one.reason or "finished"
    stopped = [one for one in before if one.reason == "stopped"]
    assert len(stopped) == 5
    later = [trial(n, 0.9) for n in range(8, 16)]  # all of them worse than those that were stopped
    full = [number for number, goes_on in going_on([*before, *later], planned=16).items() if goes_on]
    assert full == [8, 9, 10]  # with the 3 of before 3/8 of 16


def score(arm: str, number: int, epoch: int) -> float:
    """The later an arm's trial, the better it is, but the baseline's are all worse than the others'."""
    return 0.1 + 0.01 * number + 0.5 * (arm != "baseline") + 0.001 * epoch


@pytest.mark.parametrize("slots", [1, 4])
def test_a_sweep_runs_the_best_of_each_arm_in_full(tmp_path: Path, slots: int) -> None:
    driver = make_driver(tmp_path, 15, scheduler="halving")
    run(driver, score, slots)
    for arm in ARMS:
        lengths = [len(one.epochs) for one in driver.state.of_arm(arm)]
        assert lengths == [4, 4, 4, 10, 10]  # ASHA would have let the first go on before it saw the others
        assert [one.reason for one in driver.state.of_arm(arm)] == ["stopped"] * 3 + ["finished"] * 2
    assert driver.done


def test_a_trial_that_fails_for_good_lets_the_others_of_its_arm_go_on(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, 6, scheduler="halving")
    lost = driver.deal()
    run(driver, score)  # the others; that trial's partner waits for it
    (waiting,) = [one for one in driver.state.unended if one.waiting]
    assert waiting.arm == lost.arm
    assert driver.deal() is None
    assert not driver.done
    driver.fail(lost.number, Failure("error", "boom"))
    assert driver.deal() is waiting


def test_tpe_learns_from_trials_that_wait(tmp_path: Path) -> None:
    points = []
    for best in (3, 5):
        (tmp_path / str(best)).mkdir()
        driver = make_driver(tmp_path / str(best), 18, search="tpe", scheduler="halving")
        run(driver, lambda arm, number, epoch, best=best: float(number // len(ARMS) + 1 == best - 1))
        points.append([one.sampled for one in driver.state.of_arm("convnext")])
    assert points[0][:3] == points[1][:3]  # those before its model
    assert points[0][3:] != points[1][3:]
