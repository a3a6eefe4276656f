"""The answer in words follows from the numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.answers import answers, compared_sentence, headline, verdict_words
from analysis.confirmed_tables import comparison_cells
from analysis.load import load_results
from analysis.outcome import make_outcome
from analysis.statistics import Comparison
from analysis.table import between, signed
from tests.analysis.made import ARMS, write_events, write_right, write_study


def found(difference: float, low: float, high: float, verdict: str, detectable: float = 0.019) -> Comparison:
    return Comparison("mixup", difference, low, high, 0.01, 0.02, 0.3, detectable, verdict)


@pytest.mark.parametrize(
    ("comparison", "words"),
    [
        (
            found(0.023, 0.004, 0.042, "better"),
            "mixup: +2.3 points over the plain ConvNeXt (95 % interval +0.4 to +4.2): better.",
        ),
        (
            found(-0.031, -0.05, -0.012, "worse"),
            "mixup: 3.1 points below the plain ConvNeXt (95 % interval -5.0 to -1.2): worse.",
        ),
        (
            found(0.0004, 5e-324, 0.0008, "better"),
            "mixup: +0.04 points over the plain ConvNeXt (95 % interval > 0 to +0.1): better.",
        ),
        (
            found(-0.01, -0.02, -5e-324, "worse"),
            "mixup: 1.0 points below the plain ConvNeXt (95 % interval -2.0 to < 0): worse.",
        ),
        (
            found(0.003, -0.012, 0.018, "no difference seen"),
            "mixup: no difference seen (95 % interval -1.2 to +1.8; could have seen ≥ 1.9).",
        ),
        (
            found(0.2, -1.0, 1.0, "no difference seen", detectable=1.0),
            "mixup: no difference seen (could not have seen any).",
        ),
    ],
)
def test_an_arms_sentence_is_made_from_its_comparison(comparison: Comparison, words: str) -> None:
    assert str(compared_sentence("mixup", comparison, "the plain ConvNeXt")) == words


@pytest.mark.parametrize(
    ("comparison", "words"),
    [
        (found(0.023, 0.004, 0.042, "better"), "better"),
        (found(-0.023, -0.042, -0.004, "worse"), "worse"),
        (found(0.0, -0.1, 0.1, "no difference seen"), "no difference seen (could have seen ≥ 1.9 points)"),
        (found(0.0, -0.1, 0.1, "no difference seen", 1.0), "no difference seen (could not have seen any)"),
    ],
)
def test_a_tables_verdict_is_in_the_same_words(comparison: Comparison, words: str) -> None:
    assert verdict_words(comparison) == words


def test_every_arm_has_its_sentence_below_what_it_is_compared_with(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study")
    write_right(folder, {"baseline": [True] * 6 + [False] * 6})
    results = load_results(folder)
    versus, ablation = answers(results, make_outcome(results))
    assert versus.heading.startswith("Against the baseline, which gets 50.0 % right (95 % interval ")
    assert [sentence.arm for sentence in versus.sentences] == ["convnext"]
    assert ablation.heading.startswith("Against the plain ConvNeXt, which gets ")
    assert [sentence.arm for sentence in ablation.sentences] == ["mixup", "shift"]


def test_the_headline_counts_the_verdicts(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study")
    few, most = [True] * 3 + [False] * 9, [True] * 10 + [False] * 2
    write_right(folder, {"baseline": few, "convnext": few, "mixup": most, "shift": few})
    assert headline(make_outcome(load_results(folder))) == "Of 3 comparisons: 1 better, 2 no difference seen."


def test_one_comparison_is_not_counted(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", arms=ARMS[:2])
    outcome = make_outcome(load_results(folder))
    (found,) = outcome.comparisons["baseline-vs-convnext"].values()
    assert headline(outcome) == f"One comparison: {found.verdict}."


def test_what_the_reference_has_on_is_said_in_the_answer(tmp_path: Path) -> None:
    arms = [arm | {"on": ["label-smoothing", *arm["on"]]} for arm in ARMS]
    results = load_results(write_study(tmp_path / "study", arms=arms))
    _, ablation = answers(results, make_outcome(results))
    assert ablation.heading.startswith("Against convnext with label-smoothing on, which gets ")


def test_words_are_rounded_as_the_tables_are() -> None:
    half = found(0.0145, 0.0045, 0.0245, "better")
    row = comparison_cells(half)
    sentence = compared_sentence("mixup", half, "the plain ConvNeXt").words
    assert sentence.startswith(f"{signed(row['difference'])} points over the plain ConvNeXt ")
    assert between(row["low"], row["high"], signed) in sentence


def test_arms_that_nothing_is_compared_with_are_told_by_their_accuracy(tmp_path: Path) -> None:
    arms = [arm | {"against": None} for arm in ARMS]
    folder = write_study(tmp_path / "study", arms=arms, reference=None)
    write_right(folder, {"mixup": [True] * 9 + [False] * 3})
    results = load_results(folder)
    outcome = make_outcome(results)
    (answer,) = answers(results, outcome)
    assert str(answer.sentences[2]).startswith("mixup: 75.0 % right (95 % interval ")
    assert headline(outcome) == "No two confirmed arms are compared with each other."


def test_without_confirmed_runs_each_arms_nomination_is_told_as_one(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "sweep", confirm=False)
    events = load_results(folder).events
    write_events(folder / "events.jsonl", [event for event in events if event["arm"] != "shift"])
    results = load_results(folder)
    (answer,) = answers(results, None)
    assert len(answer.sentences) == len(ARMS)
    best = 100 * results.best.loc["mixup", "score"]
    assert str(answer.sentences[2]) == (
        f"mixup: {best:.1f} % on the validation fold 4, the best of its 2 full runs; not tested."
    )
    assert str(answer.sentences[3]) == (
        "shift: nothing to nominate, since no trial is known to have run its full schedule."
    )
