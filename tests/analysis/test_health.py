"""Health checks find what is wrong, and nothing where nothing is."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.health import edge_of, health_checks, rank_disagreement
from analysis.load import load_results
from analysis.outcome import make_outcome
from tests.analysis.made import (
    ARMS,
    LR,
    SHARE,
    edit_json,
    epoch_event,
    made_arm,
    write_events,
    write_right,
    write_study,
)

ARM_NAMES = [arm["name"] for arm in ARMS]
INSIDE = {"lr": 1e-3, "mixup": 0.5, "shift": 0.5}


def healthy() -> dict[str, list[dict]]:
    """Return three finished trials of each arm, the second of which is the best, inside all ranges."""
    trial = {"val_acc": 0.5, "train_acc": 0.55, "epochs": 4, "reason": "finished", "sampled": INSIDE}
    return {arm: [trial, trial | {"val_acc": 0.6}, trial] for arm in ARM_NAMES}


def found(folder: Path, trials: dict[str, list[dict]]) -> list[str]:
    events, number = [], 0
    for arm, own in trials.items():
        for trial in own:
            events.append({"event": "deal", "trial": number, "arm": arm, "sampled": trial["sampled"], "config": {}})
            scores = {"val_acc": trial["val_acc"], "val_loss": 1.0, "train_acc": trial["train_acc"]}
            epochs = range(1, trial["epochs"] + 1)
            events += [epoch_event(number, arm, epoch) | scores for epoch in epochs]
            ended = {"event": "end", "trial": number, "arm": arm, "epochs": len(epochs), "reason": trial["reason"]}
            events += [ended] * (trial["reason"] is not None)
            number += 1
    write_events(folder / "events.jsonl", events)
    results = load_results(folder)
    return health_checks(results, make_outcome(results))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_study(tmp_path / "sweep", confirm=False)


def changed(arm: str, index: int, **changes) -> dict[str, list[dict]]:
    trials = healthy()
    trials[arm][index] = trials[arm][index] | changes
    return trials


def test_a_healthy_sweep_has_no_complaint(sweep: Path) -> None:
    assert found(sweep, healthy()) == []


def test_a_sweep_without_trials_has_no_complaint_of_its_own(sweep: Path) -> None:
    assert found(sweep, {}) == []


def test_where_no_trial_ran_in_full_no_arm_is_named(sweep: Path) -> None:
    trials = {arm: [trial | {"reason": "stopped"} for trial in own] for arm, own in healthy().items()}
    assert found(sweep, trials) == [
        "Fewer than 2 trials ran in full: in every arm; nothing was chosen among full runs."
    ]


@pytest.mark.parametrize(
    ("value", "space", "edge"),
    [
        (0.1, SHARE, "lower"),
        (0.145, SHARE, "lower"),
        (0.146, SHARE, ""),
        (0.954, SHARE, ""),
        (0.955, SHARE, "upper"),
        (1.0, SHARE, "upper"),
        (2.3e-4, LR, "lower"),  # a log range: e to the 5 % of log 25 is 1.17 times its end
        (2.4e-4, LR, ""),
        (4.2e-3, LR, ""),
        (4.3e-3, LR, "upper"),
        (0.0, LR, "lower"),  # that of a default, which has no logarithm
    ],
)
def test_an_edge_is_the_outer_twentieth_of_a_range(value: float, space: dict, edge: str) -> None:
    assert edge_of(value, space) == edge


def test_a_best_value_at_an_edge_is_named_and_others_there_are_not(sweep: Path) -> None:
    trials = changed("mixup", 1, sampled=INSIDE | {"lr": 4.9e-3})
    trials["shift"][0] = trials["shift"][0] | {"sampled": INSIDE | {"shift": 1.0}}
    assert found(sweep, trials) == [
        "mixup: the best lr, 0.0049, is at the upper edge of its range 0.0002 to 0.005; nothing beyond it was tried."
    ]


def test_a_default_setting_at_an_edge_is_found_too(tmp_path: Path) -> None:
    arms = [*ARMS[:3], made_arm("shift", "convnext", space={"shift": SHARE}, shift=1.0)]
    folder = write_study(tmp_path / "sweep", confirm=False, arms=arms)
    (sentence,) = found(folder, changed("shift", 1, sampled={"lr": 1e-3}))
    assert sentence.startswith("shift: the best shift, 1, is at the upper edge of its range 0.1 to 1;")


def test_an_arm_with_too_few_finished_trials_is_named(sweep: Path) -> None:
    trials = changed("mixup", 2, reason="stopped", epochs=3)
    assert found(sweep, trials) == []
    trials["mixup"][1] = trials["mixup"][1] | {"reason": "stopped", "epochs": 3}
    assert found(sweep, trials) == [
        "Fewer than 2 trials ran in full: mixup (1 of 3); nothing was chosen among full runs."
    ]


def test_unequal_numbers_of_trials_are_named(sweep: Path) -> None:
    trials = healthy()
    trials["shift"].append(trials["shift"][0])
    assert found(sweep, trials) == ["Unequal budgets: 4 trials for shift, 3 for baseline."]


@pytest.mark.parametrize(("epochs", "complaints"), [(6, 0), (7, 1)])
def test_epochs_are_unequal_beyond_one_and_a_half_times_the_fewest(sweep: Path, epochs: int, complaints: int) -> None:
    trials = {arm: [trial | {"epochs": 4} for trial in own] for arm, own in healthy().items()}
    trials["mixup"] = [trial | {"epochs": epochs} for trial in trials["mixup"]]
    sentences = found(sweep, trials)
    assert len(sentences) == complaints
    if complaints:
        assert sentences[0].startswith("Unequal budgets: 21 epochs for mixup, 12 for baseline; early stopping")


def test_unequal_epochs_of_a_sweep_that_was_cut_are_not_laid_to_early_stopping(sweep: Path) -> None:
    trials = changed("mixup", 0, reason=None, epochs=1)
    trials["mixup"][1] = trials["mixup"][1] | {"epochs": 1}
    (sentence,) = (sentence for sentence in found(sweep, trials) if sentence.startswith("Unequal budgets"))
    assert sentence.endswith(" for mixup; some trials have not ended.")


def test_unequal_epochs_of_an_arm_that_failed_are_not_laid_to_early_stopping(sweep: Path) -> None:
    trials = healthy()
    trials["mixup"] = [trial | {"epochs": 1, "reason": "error"} for trial in trials["mixup"]]
    (sentence,) = (sentence for sentence in found(sweep, trials) if sentence.startswith("Unequal budgets"))
    assert sentence.endswith(" for mixup; trials of mixup failed or diverged.")


@pytest.mark.parametrize(("reason", "word"), [("diverged", "Diverged"), ("error", "Failed")])
def test_lost_trials_are_named_by_arm(sweep: Path, reason: str, word: str) -> None:
    sentences = found(sweep, changed("mixup", 0, reason=reason))
    assert sentences[-1] == f"{word} trials: mixup (1); these arms chose among fewer."


@pytest.mark.parametrize(("train", "complaints"), [(0.79, 0), (0.81, 1)])
def test_a_gap_of_more_than_20_points_is_overfitting(sweep: Path, train: float, complaints: int) -> None:
    sentences = found(sweep, changed("mixup", 1, train_acc=train))
    assert len(sentences) == complaints
    if complaints:
        assert sentences == [
            "Training accuracy is more than 20 points above validation in 1 of 4 arms, most in mixup (81.0 against "
            "60.0 %): they overfit."
        ]


def ranked(folder: Path, tested: list[int], searched: list[float]) -> list[str]:
    """Return what is found of arms that get so many of each fold's 12 clips, and had such scores in the search."""
    write_right(folder, {arm: [True] * n + [False] * (12 - n) for arm, n in zip(ARM_NAMES, tested, strict=True)})
    frozen = load_results(folder).confirmed.manifest["frozen"]
    scored = [entry | {"val_acc": score} for entry, score in zip(frozen, searched, strict=True)]
    edit_json(folder / "confirm" / "manifest.json", frozen=scored)
    return list(rank_disagreement(make_outcome(load_results(folder))))


def test_ranks_that_agree_are_no_complaint(tmp_path: Path) -> None:
    assert ranked(write_study(tmp_path / "study"), [3, 5, 7, 9], [0.1, 0.2, 0.3, 0.4]) == []


def test_ranks_that_disagree_are_told_with_their_tau(tmp_path: Path) -> None:
    # of the six pairs of arms four are turned round: tau is (2 - 4) / 6
    assert ranked(write_study(tmp_path / "study"), [3, 5, 7, 9], [0.3, 0.4, 0.1, 0.2]) == [
        "Validation and test rank the 4 arms differently: Kendall's tau is -0.33, where 1 is the same order; the "
        "search's best values say little."
    ]


def test_ranks_are_those_of_each_arms_best_configuration(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", top=2)
    searched = [0.1, 0.09, 0.2, 0.08, 0.3, 0.07, 0.4, 0.06]  # the arms' second ones are in the other order
    assert ranked(study, [3, 5, 7, 9], searched) == []
