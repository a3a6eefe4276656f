"""What the figures draw, read back from their axes: small cases worked by hand, and a seeded study as a whole."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import style
from matplotlib.colors import same_color
from matplotlib.figure import Figure as Page
from matplotlib.image import imread
from matplotlib.text import Text

from analysis.confirmed import Confirmed
from analysis.figures import make_figures
from analysis.figures.agreement import rank_agreement
from analysis.figures.arms import look_of
from analysis.figures.best_of_n import best_of_n
from analysis.figures.confirmed import confirmed_drawings
from analysis.figures.confusion import confusion
from analysis.figures.curves import learning_curves
from analysis.figures.drawing import STYLE, Drawing, spread
from analysis.figures.forest import forest
from analysis.figures.search import rung_epochs, search_drawings
from analysis.figures.slices import slices
from analysis.load import Results
from analysis.outcome import Outcome, make_outcome
from analysis.statistics import Comparison, compare
from analysis.table import points as in_points
from analysis.table import signed
from tests.analysis.made import LR, made_arm, made_manifest

UNTRAINED = {"feature": "encodec", "encodec_weights": "untrained"}
SHARE = {"low": 0.0, "high": 0.5, "log": False}
EPOCHS = 20
ASHA = made_manifest()["scheduler"]
# of an arm's five trials: why each ended, and after how many epochs
ENDS = [("finished", 20), ("finished", 20), ("stopped", 6), ("stopped", 12), ("finished", 20)]

REGULARIZATION = {"baseline": None, "convnext": "baseline", "mixup": "convnext", "label-smoothing": "convnext"}
ARCHITECTURES = {
    f"{model}-{feature}": f"hifigan-{feature}" if model == "convnext" else None
    for feature in ("raw", "raw24", "logmel", "encodec", "untrained")
    for model in ("hifigan", "convnext")
} | {"causal-lm": "hifigan-encodec"}


def sweeps_arm(name: str, against: str | None) -> dict:
    space = {"mixup": SHARE} if name == "mixup" else {}
    return made_arm(name, against, space=space, **UNTRAINED if "untrained" in name else {}) | {"epochs": EPOCHS}


def made_sweep(arms: dict[str, str | None] = REGULARIZATION, per_arm: int = 5, **changes) -> Results:
    """Return a sweep of `arms`, each with the arm that it is against; convnext's fourth trial has diverged."""
    rng = np.random.default_rng(0)
    reference = "convnext" if "convnext" in arms else None
    manifest = made_manifest(arms=[sweeps_arm(*arm) for arm in arms.items()], reference=reference, **changes)
    events = []
    for number, (index, arm) in enumerate(itertools.product(range(per_arm), arms)):
        reason, epochs = ("diverged", 4) if index == 3 and arm == "convnext" else ENDS[index]
        config = {"lr": float(2e-4 * 25 ** rng.uniform()), "mixup": float(rng.uniform(0.0, 0.5))}
        events.append({"event": "deal", "trial": number, "arm": arm, "config": config, "sampled": {}})
        top = rng.uniform(0.4, 0.8)
        for epoch in range(1, epochs + 1):
            accuracy = float(np.clip(top * (1 - np.exp(-epoch / 5)) + rng.normal(0, 0.02), 0, 1))
            numbers = {"val_acc": accuracy, "val_loss": 1.0, "train_acc": 0.5, "seconds": 1.0}
            events.append({"event": "epoch", "trial": number, "arm": arm, "epoch": epoch, **numbers})
        events.append({"event": "end", "trial": number, "arm": arm, "reason": reason, "epochs": epochs})
    return Results(manifest, events)


def frozen(label: str) -> dict:
    arm, _, rank = label.partition("#")
    return {"arm": arm, "rank": int(rank or 1)}


def made_confirmed(arms: list[str], classes: int = 10, seeds: int = 2, names: list[str] | None = None) -> Confirmed:
    """Return confirmed runs on five folds, four clips of each class in each; the later an arm, the better it is."""
    rng = np.random.default_rng(1)
    names = names or [f"class_{number}" for number in range(classes)]
    rows = list(itertools.product(range(1, 6), range(len(names)), range(4)))
    clips = pd.DataFrame(
        {
            "filename": [f"{fold}-{target}-{take}.wav" for fold, target, take in rows],
            "fold": [fold for fold, _, _ in rows],
            "target": [target for _, target, _ in rows],
            "category": [names[target] for _, target, _ in rows],
            "source": [f"{fold}-{target}-{take // 2}" for fold, target, take in rows],
        }
    )
    logits = {}
    for (place, arm), fold, seed in itertools.product(enumerate(arms), range(1, 6), range(seeds)):
        target = clips.loc[clips["fold"] == fold, "target"].to_numpy()
        values = rng.normal(size=(len(target), len(names)))
        values[np.arange(len(target)), target] += 2.0 + 0.15 * place
        logits[arm, fold, seed] = values
    manifest = {
        "data": {"stand_in": False, "classes": names, "clips": len(clips)},
        "frozen": [frozen(arm) for arm in arms],
        "folds": [1, 2, 3, 4, 5],
        "seeds": seeds,
        "test_fold": 5,
        "searched": [1, 2, 3, 4],
    }
    return Confirmed(manifest, [], clips, logits)


@pytest.fixture(autouse=True)
def styled() -> Iterator[None]:
    with style.context(["default", STYLE]):
        yield


def outcome_of(results: Results, confirmed: Confirmed | None) -> Outcome | None:
    return make_outcome(replace(results, confirmed=confirmed))


def drawn(results: Results, confirmed: Confirmed | None = None) -> dict[str, Drawing]:
    outcome = outcome_of(results, confirmed)
    tested = confirmed_drawings(results.manifest, outcome) if outcome else ()
    return {drawing.name: drawing for drawing in (*search_drawings(results), *tested) if drawing}


def words(drawing: Drawing) -> str:
    """Return what stands above a figure's axes, its lines joined again."""
    return " ".join(text.get_text() for text in drawing.page.texts).replace("\N{NO-BREAK SPACE}", " ")


def comparison(arm: str, difference: float, width: float, verdict: str, detectable: float = 0.02) -> Comparison:
    bounds = (difference - width, difference + width)
    return Comparison(arm, difference, *bounds, 0.01, 0.02, 0.03, detectable, verdict)


# ---------------------------------------------------------------------------------------------------------- forest

ROWS = [
    comparison("mixup", 0.01, 0.03, "no difference seen"),
    comparison("all", -0.05, 0.01, "worse", detectable=0.03),
    comparison("shift", 0.14, 0.015, "better"),
]


@pytest.fixture
def plot() -> Drawing:
    return forest(
        "made", "Each arm against another", ROWS, {"mixup": "mixup", "all": "all *", "shift": "shift"}, [], ""
    )


def test_a_forest_has_one_row_an_arm_the_largest_difference_above(plot: Drawing) -> None:
    (axes,) = plot.page.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["all *", "mixup", "shift"]  # from below
    assert axes.get_yticks().tolist() == [0, 1, 2]
    assert axes.get_ylim()[0] < axes.get_ylim()[1]


def test_a_forest_draws_differences_and_intervals_in_points(plot: Drawing) -> None:
    zero, *lines = plot.page.axes[0].lines
    assert list(zero.get_xdata()) == [0.0, 0.0]
    intervals, points = lines[::2], lines[1::2]
    np.testing.assert_allclose([line.get_xdata() for line in intervals], [[-6.0, -4.0], [-2.0, 4.0], [12.5, 15.5]])
    np.testing.assert_allclose([point.get_xdata()[0] for point in points], [-5.0, 1.0, 14.0])
    assert [point.get_ydata()[0] for point in points] == [0, 1, 2]


def test_a_forest_fills_points_whose_interval_leaves_out_0(plot: Drawing) -> None:
    points = plot.page.axes[0].lines[2::2]
    filled = [not same_color(point.get_markerfacecolor(), "white") for point in points]
    assert filled == [True, False, True]


def test_a_forest_shows_what_could_not_have_been_seen_as_a_band(plot: Drawing) -> None:
    bands = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in plot.page.axes[0].patches]
    np.testing.assert_allclose(bands, [(-3.0, 3.0), (-2.0, 2.0), (-2.0, 2.0)])


def test_a_forest_says_what_the_band_is_in_a_legend_of_its_colour(plot: Drawing) -> None:
    (legend,) = plot.page.legends
    (text,), (patch,) = legend.get_texts(), legend.get_patches()
    assert text.get_text() == "true differences that such runs find less than four times in five"
    assert all(same_color(patch.get_facecolor(), bar.get_facecolor()) for bar in plot.page.axes[0].patches)


def test_a_forest_says_numbers_and_verdicts_at_the_right(plot: Drawing) -> None:
    (right,) = plot.page.axes[0].child_axes
    assert right.get_yticks().tolist() == [0, 1, 2]
    shown = [label.get_text() for label in right.get_yticklabels()]
    assert [" ".join(text.split()) for text in shown] == [
        "−5.0 (−6.0 to −4.0) worse",
        "+1.0 (−2.0 to +4.0) no difference seen",
        "+14.0 (+12.5 to +15.5) better",
    ]
    assert len({text.index("(") for text in shown}) == 1  # they stand below each other
    assert len({text.index("   ") for text in shown}) == 1
    assert plot.alt.endswith("the largest difference is that of shift, +14.0 (+12.5 to +15.5) points (better).")


def test_a_forest_is_told_by_its_largest_difference_in_either_direction() -> None:
    plot = forest("made", "Each arm against another", ROWS[:2], {"mixup": "mixup", "all": "all *"}, [], "")
    assert plot.alt.endswith("the largest difference is that of all *, −5.0 (−6.0 to −4.0) points (worse).")


def test_confirmed_arms_are_compared_with_the_reference_and_with_the_baseline() -> None:
    results, confirmed = made_sweep(), made_confirmed(list(REGULARIZATION))
    drawings, (correct, folds, sources) = drawn(results, confirmed), confirmed.correct()
    ablation = {"convnext": ["mixup", "label-smoothing"]}  # a table of its own, over which p is adjusted
    found = sorted(compare(correct, ablation, folds, sources), key=lambda row: row.difference)
    axes = drawings["regularization-ablation"].page.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [row.arm for row in found]
    np.testing.assert_allclose([p.get_xdata()[0] for p in axes.lines[2::2]], [100 * row.difference for row in found])
    np.testing.assert_allclose(
        [line.get_xdata() for line in axes.lines[1::2]], [(100 * row.low, 100 * row.high) for row in found]
    )
    (label,) = drawings["baseline-vs-convnext"].page.axes[0].get_yticklabels()
    assert label.get_text() == "convnext\nagainst baseline"


def test_each_pair_of_a_feature_has_a_row_of_its_own() -> None:
    drawings = drawn(made_sweep(ARCHITECTURES), made_confirmed(list(ARCHITECTURES)))
    labels = [label.get_text() for label in drawings["baseline-vs-convnext"].page.axes[0].get_yticklabels()]
    stars = {"convnext-untrained": " *", "hifigan-untrained": " *"}
    pairs = [(arm, base) for arm, base in ARCHITECTURES.items() if base]
    assert sorted(labels) == sorted(
        f"{arm}{stars.get(arm, '')}\nagainst {base}{stars.get(base, '')}" for arm, base in pairs
    )
    assert "regularization-ablation" not in drawings


def test_a_forest_rounds_as_the_tables_do() -> None:
    rows = [comparison("mixup", 0.0145, 0.0002, "better"), comparison("all", -0.0004, 0.0, "worse")]
    (axes,) = forest("made", "title", rows, {"mixup": "mixup", "all": "all"}, [], "").page.axes[0].child_axes
    assert [label.get_text().split()[0] for label in axes.get_yticklabels()] == ["−0.04", signed(in_points(0.0145))]


def test_a_confirmed_figure_says_what_it_is_based_on() -> None:
    for drawing in list(drawn(made_sweep(), made_confirmed(list(REGULARIZATION))).values())[-3:]:
        assert "Tested on folds 1, 2, 3, 4, 5 in turn, 2 seeds each, 200 clips;" in words(drawing)
        assert "the search had trained or selected on folds 1, 2, 3, 4." in words(drawing)
        assert "SEARCH ONLY" not in words(drawing)


def test_a_single_fold_is_no_folds() -> None:
    confirmed = made_confirmed(list(REGULARIZATION))
    confirmed.manifest["folds"] = [5]
    assert "Tested on fold 5, 2 seeds each, 40 clips;" in words(drawn(made_sweep(), confirmed)["confusion"])


# -------------------------------------------------------------------------------------------------- learning curves


@pytest.mark.parametrize(
    ("epochs", "rungs"),
    [(60, [18, 36]), (100, [30, 60]), (10, [3, 6]), (6, [2, 4]), (3, [1, 2]), (1, [])],
)
def test_rungs_are_those_of_the_sweep(epochs: int, rungs: list[int]) -> None:
    assert rung_epochs(epochs, ASHA) == rungs


def test_rungs_follow_the_manifests_scheduler() -> None:
    assert rung_epochs(100, {"name": "asha", "grace": 0.05, "factor": 3}) == [5, 15, 45]


def curve(arm: str, trial: int, reason: str, accuracies: list[float]) -> pd.DataFrame:
    epochs = range(1, len(accuracies) + 1)
    return pd.DataFrame({"arm": arm, "trial": trial, "reason": reason, "epoch": epochs, "val_acc": accuracies})


CURVES = pd.concat(
    [
        curve("convnext", 1, "finished", [0.1, 0.2, 0.4]),
        curve("convnext", 3, "finished", [0.1, 0.3, 0.6]),
        curve("convnext", 5, "stopped", [0.1, 0.15]),
        curve("convnext", 7, "diverged", [0.05]),
        curve("baseline", 0, "finished", [0.2, 0.5]),
    ]
)


def test_learning_curves_have_a_panel_for_each_arm_that_ran() -> None:
    labels = {"baseline": "baseline", "mixup": "mixup", "convnext": "convnext *"}
    drawing = learning_curves(CURVES, {"convnext": 3, "baseline": 0}, {"convnext": [1, 2]}, labels, [])
    assert [axes.get_title("left") for axes in drawing.page.axes] == ["baseline", "convnext *"]
    assert [axes.get_xlabel() for axes in drawing.page.axes] == ["epoch", "epoch"]
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in drawing.page.axes}) == 1
    assert drawing.alt.endswith("of 5 trials, one panel an arm; the best, of convnext *, ends at 60.0 %.")


def test_a_trials_line_tells_how_it_ended_and_the_best_is_bold() -> None:
    drawing = learning_curves(CURVES, {"convnext": 3}, {"convnext": [1, 2]}, {"convnext": "convnext"}, [])
    (axes,) = drawing.page.axes
    finished, best, stopped, diverged = axes.lines
    np.testing.assert_allclose(finished.get_xydata(), [[1, 10], [2, 20], [3, 40]])
    np.testing.assert_allclose(best.get_xydata(), [[1, 10], [2, 30], [3, 60]])
    assert [line.get_linestyle() for line in (finished, best, stopped, diverged)] == ["-", "-", "--", ":"]
    assert diverged.get_marker() == "x"
    assert best.get_linewidth() > 2 * finished.get_linewidth()
    (end,) = axes.texts
    assert (end.get_text(), end.xy) == ("60.0", (3, 60.0))


def rung_ticks(drawing: Drawing) -> list[list[float]]:
    """Return the epochs at which each panel has ticks of rungs."""
    return [
        [segment[0, 0] for part in axes.collections for segment in part.get_segments()] for axes in drawing.page.axes
    ]


def test_rungs_are_ticks_where_trials_are_judged_and_nowhere_without_a_scheduler() -> None:
    assert rung_ticks(drawn(made_sweep())["learning-curves"]) == [[6, 12]] * 4
    without = made_sweep(scheduler=ASHA | {"name": "none"})
    assert rung_ticks(drawn(without)["learning-curves"]) == [[]] * 4


# ----------------------------------------------------------------------------------------------------------- slices

BY_RATE = {"lr": LR}
BY_SHARE = {"dropout": SHARE}


def points(values: list[float | None], knob: str, scores: list[float | None], arm: str = "convnext") -> pd.DataFrame:
    configs = [{knob: value} for value in values]
    frame = {"arm": arm, "trial": range(len(values)), "score": np.array(scores, float), "config": configs}
    return pd.DataFrame(frame)


def marks_in(axes: matplotlib.axes.Axes) -> dict[str, list[tuple[float, float]]]:
    """Return where the markers of each shape are."""
    return {line.get_marker(): [(x, y) for x, y in line.get_xydata()] for line in axes.lines}


def test_a_slice_has_each_score_at_its_value_and_the_best_marked() -> None:
    frame = points([0.1, 0.2, 0.3, 0.4], "dropout", [0.5, 0.75, None, 0.25])
    drawing = slices(frame, {"convnext": 1}, {"convnext": BY_SHARE}, {"convnext": "convnext *"}, [])
    (axes,) = drawing.page.axes
    marked = marks_in(axes)
    assert (marked["o"], marked["*"], marked["s"]) == ([(0.1, 50.0), (0.4, 25.0)], [(0.2, 75.0)], [])
    assert [x for x, _ in marked["|"]] == [0.3]  # without a score
    assert (axes.get_xscale(), axes.get_xlabel(), axes.get_title("left")) == ("linear", "dropout", "convnext *")


@pytest.mark.parametrize(
    ("space", "values", "at_an_end"),
    [
        (BY_SHARE, [0.024, 0.026, 0.474, 0.476], [0.024, 0.476]),
        (BY_RATE, [2.3e-4, 2.4e-4, 4.2e-3, 4.3e-3], [2.3e-4, 4.3e-3]),  # 2e-4 * 25^.05 is 2.35e-4, * 25^.95 4.26e-3
    ],
)
def test_points_within_5_percent_of_an_end_of_the_range_are_marked(space: dict, values: list, at_an_end: list) -> None:
    (knob,) = space
    frame = points(values, knob, [0.5, 0.5, 0.5, 0.6])
    drawing = slices(frame, {"convnext": 3}, {"convnext": space}, {"convnext": "convnext"}, [])
    (axes,) = drawing.page.axes
    assert [x for x, _ in marks_in(axes)["s"]] == at_an_end
    assert "in 1 of them the best point lies at an end of the range" in drawing.alt
    assert axes.get_xscale() == ("log" if space[knob]["log"] else "linear")
    low, middle, high = axes.get_xticks()
    assert (low, high) == (space[knob]["low"], pytest.approx(space[knob]["high"]))
    assert middle == pytest.approx(np.sqrt(low * high) if space[knob]["log"] else (low + high) / 2)


def test_each_varied_knob_of_each_arm_with_a_score_has_a_panel() -> None:
    axes = drawn(made_sweep())["slices"].page.axes
    assert [(panel.get_title("left"), panel.get_xlabel()) for panel in axes] == [
        ("baseline", "lr"),
        ("convnext", "lr"),
        ("mixup", "lr"),
        ("mixup", "mixup"),
        ("label-smoothing", "lr"),
    ]


# ------------------------------------------------------------------------------------------------------- agreement

# three pairs of convnext's trials of which one changes places; baseline's one trial is below them all
PAIRS = pd.DataFrame(
    {"arm": ["convnext"] * 3 + ["baseline"], "first": [0.3, 0.4, 0.5, 0.1], "end": [0.6, 0.8, 0.7, 0.2]}
)
NAMES = {"baseline": "baseline", "mixup": "mixup", "convnext": "convnext"}


def test_rank_agreement_has_kendalls_tau_in_its_title_and_each_arms_in_the_legend() -> None:
    drawing = rank_agreement(PAIRS, "accuracy", NAMES, [])
    assert drawing.title.endswith("Kendall's τ = 0.67 (4 trials)")  # 5 pairs agree, 1 does not
    (legend,) = drawing.page.legends
    assert [text.get_text() for text in legend.get_texts()] == ["baseline: τ – (1)", "convnext: τ 0.33 (3)"]


def test_of_losses_the_lowest_is_the_best() -> None:
    drawing = rank_agreement(PAIRS.assign(first=1 - PAIRS["first"]), "loss", NAMES, [])
    assert drawing.title == "Loss at the first rung and accuracy at the end: Kendall's τ = 0.67 (4 trials)"
    (axes,) = drawing.page.axes
    np.testing.assert_allclose(axes.lines[1].get_xydata(), [[-0.7, 60], [-0.6, 80], [-0.5, 70]])
    assert axes.get_xlabel() == "minus validation loss at the first rung"


def test_the_order_of_two_trials_is_no_agreement() -> None:
    assert rank_agreement(PAIRS[:2], "accuracy", NAMES, []) is None
    (legend,) = rank_agreement(PAIRS[1:], "accuracy", NAMES, []).page.legends
    assert [text.get_text() for text in legend.get_texts()] == ["baseline: τ – (1)", "convnext: τ – (2)"]


def test_rank_agreement_draws_every_trial_with_its_arms_marker() -> None:
    (axes,) = rank_agreement(PAIRS, "accuracy", NAMES, []).page.axes
    baseline, convnext = axes.lines
    np.testing.assert_allclose(baseline.get_xydata(), [[10, 20]])
    np.testing.assert_allclose(convnext.get_xydata(), [[30, 60], [40, 80], [50, 70]])
    assert convnext.get_marker() == look_of(2).point["marker"]  # the third of the sweep, though the second here


def test_rank_agreement_is_of_trials_that_ran_in_full_at_the_first_rung() -> None:
    results = made_sweep()
    axes = drawn(results)["rank-agreement"].page.axes[0]
    epochs = pd.DataFrame([event for event in results.events if event["event"] == "epoch"]).set_index(
        ["trial", "epoch"]
    )
    full = [trial for trial in range(20) if (trial, EPOCHS) in epochs.index]
    expected = [(100 * epochs.loc[(t, 6), "val_acc"], 100 * epochs.loc[(t, EPOCHS), "val_acc"]) for t in full]
    shown = [tuple(point) for line in axes.lines for point in line.get_xydata()]
    np.testing.assert_allclose(sorted(shown), sorted(expected))


def test_rank_agreement_is_of_what_the_scheduler_judges_by() -> None:
    by_loss = made_sweep(scheduler=ASHA | {"by": "loss"})
    shown = drawn(by_loss)["rank-agreement"].page.axes[0].lines[0].get_xdata()
    first = {event["val_loss"] for event in by_loss.events if event["event"] == "epoch" and event["epoch"] == 6}
    assert set((-shown).tolist()) <= first


# ------------------------------------------------------------------------------------------------------- confusion

TRUTH = np.array([0, 0, 1, 1, 2])
TAKEN = np.array([[0, 1, 1, 1, -1], [0, 1, 0, 1, 2]])
CLASSES = ["dog", "$rain", "clock tick"]


def test_a_confusion_matrix_has_the_share_of_each_class_that_went_to_each_class() -> None:
    (axes, _) = confusion(TRUTH, TAKEN, CLASSES, "convnext", [], "").page.axes
    np.testing.assert_allclose(axes.images[0].get_array(), [[50, 50, 0], [25, 75, 0], [0, 0, 50]])  # one had diverged
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == CLASSES
    assert [text.get_text() for text in axes.texts] == ["50", "50", "25", "75", "50"]


def boxes(drawing: Drawing) -> list[tuple[float, float]]:
    """Return the class and the wrong class of each boxed cell."""
    return [(patch.get_y() + 0.5, patch.get_x() + 0.5) for patch in drawing.page.axes[0].patches]


def test_the_most_confused_pairs_are_boxed_and_named() -> None:
    drawing = confusion(TRUTH, TAKEN, CLASSES, "convnext", [], "")
    assert boxes(drawing) == [(0, 1), (1, 0)]  # fewer than five: no other was ever confused
    assert "pairs: dog as $rain (50 %), $rain as dog (25 %)." in words(drawing)  # three classes need no numbers
    right = "60.0 % of predictions right; most often confused: dog as $rain (50\N{NO-BREAK SPACE}%)."
    assert drawing.alt.endswith(right)


def test_a_class_may_be_called_what_looks_like_a_formula() -> None:
    drawing = confusion(TRUTH, TAKEN, ["dog", "$\\rain$", "clock tick"], "convnext", [], "")
    drawing.page.draw_without_rendering()  # as a formula it would be a mistake
    assert "dog as $\\rain$ (50 %)" in words(drawing)


def test_fifty_classes_are_all_labelled_and_five_pairs_numbered() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(50), 8)
    taken = np.where(rng.uniform(size=(2, 400)) < 0.7, truth, rng.integers(0, 50, (2, 400)))
    names = [f"a class with number {number}" for number in range(50)]
    drawing = confusion(truth, taken, names, "convnext", [], "")
    axes = drawing.page.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    assert [text.get_text() for text in axes.texts] == ["1", "2", "3", "4", "5"]
    assert "the most confused pairs: 1 a class with number" in words(drawing)
    shares = np.asarray(axes.images[0].get_array()) * ~np.eye(50, dtype=bool)
    values = [shares[int(i), int(j)] for i, j in boxes(drawing)]
    assert values == sorted(shares.ravel(), reverse=True)[:5]
    assert_readable(drawing.page)


def test_the_confusion_is_the_references_or_without_one_the_best_arms() -> None:
    results, confirmed = made_sweep(), made_confirmed(list(REGULARIZATION))
    assert drawn(results, confirmed)["confusion"].title == "What convnext takes each class for"
    without = drawn(made_sweep(ARCHITECTURES), made_confirmed(["hifigan-raw", "convnext-raw", "convnext-raw#2"]))
    assert without["confusion"].title == "What convnext-raw takes each class for"  # at its best setting in the search


def test_the_confusion_pools_all_runs_of_its_arm() -> None:
    confirmed = made_confirmed(list(REGULARIZATION))
    axes = drawn(made_sweep(), confirmed)["confusion"].page.axes[0]
    right = 100.0 * confirmed.correct()[0]["convnext"].mean()  # every class has as many clips
    assert np.asarray(axes.images[0].get_array()).diagonal().mean() == pytest.approx(right)
    assert axes.get_yticklabels()[3].get_text() == "class 3"


# ------------------------------------------------------------------------------------------------------- best of n


def test_best_of_n_is_the_expected_best_of_the_trials_that_ran_in_full() -> None:
    results = made_sweep({"convnext": None})
    scores = np.sort(results.trials["score"].dropna())
    assert len(scores) == 3
    curve, *_ = drawn(results)["best-of-n"].page.axes[0].lines
    expected = [scores.mean(), (scores[1] + 2 * scores[2]) / 3, scores[2]]  # the best of each of the three pairs
    np.testing.assert_allclose(curve.get_xydata(), np.stack([[1, 2, 3], 100 * np.array(expected)], axis=1))


def test_best_of_n_names_each_curve_clear_of_the_others_and_says_what_it_assumes() -> None:
    curves = {f"arm{number}": [0.5, 0.6 + number / 1000] for number in range(11)} | {"alone": [0.9]}
    drawing = best_of_n(curves, {name: name for name in curves}, [])
    (axes,) = drawing.page.axes
    assert [text.get_text() for text in axes.texts] == list(curves)
    heights = sorted(text.xy[1] for text in axes.texts)
    assert min(np.diff(heights)) > 0.05 * (heights[-1] - heights[0])
    assert "Assumes that an arm's trials are drawn at random" in words(drawing)
    assert_readable(drawing.page)


def test_names_are_moved_only_as_far_as_they_must() -> None:
    np.testing.assert_allclose(spread([5.0, 1.0, 5.0, 9.0], gap=2.0), [4.0, 1.0, 6.0, 9.0])
    np.testing.assert_allclose(spread([1.0, 0.0], gap=1.0), [1.0, 0.0])


def test_eleven_arms_look_different_in_shape_and_in_line() -> None:
    looks = [look_of(number) for number in range(11)]
    assert len({look.point["marker"] for look in looks}) == 11
    assert len({(look.point["color"], look.line["linestyle"]) for look in looks}) == 11


# ------------------------------------------------------------------------------------------------- all of them

EVERY = ["learning-curves", "slices", "rank-agreement", "best-of-n"]
CONFIRMED = ["baseline-vs-convnext", "regularization-ablation", "confusion"]


def assert_readable(page: Page) -> None:
    """Check that no text is small, cut at the page's edge, or over another one."""
    with mock.patch.object(
        Text, "draw", autospec=True, side_effect=Text.draw
    ) as draw:  # ticks out of view are not drawn
        page.draw_without_rendering()
    texts = dict.fromkeys(call.args[0] for call in draw.call_args_list)
    shown = {text: text.get_window_extent() for text in texts if text.get_visible() and text.get_text().strip()}
    assert min(text.get_fontsize() for text in shown) >= 8
    for text, place in shown.items():
        assert page.bbox.x0 <= place.x0 < place.x1 <= page.bbox.x1, text.get_text()
        assert page.bbox.y0 <= place.y0 < place.y1 <= page.bbox.y1, text.get_text()
    leading = 1.0 * page.dpi / 72  # of a line's height that much is empty
    for (text, one), (below, other) in itertools.combinations(shown.items(), 2):
        overlap = np.minimum(one.max, other.max) - np.maximum(one.min, other.min)
        assert overlap.min() <= leading, f"'{text.get_text()}' is over '{below.get_text()}'"


LONG = [f"a long class name {number}" for number in range(50)]


@pytest.mark.parametrize(
    ("results", "confirmed"),
    [
        (made_sweep(), made_confirmed(list(REGULARIZATION))),
        (made_sweep(ARCHITECTURES, data={"stand_in": True}), made_confirmed(list(ARCHITECTURES), names=LONG)),
        (made_sweep({"convnext": None}), made_confirmed(["convnext"])),
        (made_sweep(per_arm=1), None),
    ],
    ids=["regularization", "eleven long names and fifty classes", "one arm", "one trial an arm"],
)
def test_no_text_is_small_cut_or_over_another(results: Results, confirmed: Confirmed | None) -> None:
    for drawing in drawn(results, confirmed).values():
        assert_readable(drawing.page)


def test_every_figure_is_written_as_png_and_svg(tmp_path: Path) -> None:
    results = made_sweep()
    outcome = outcome_of(results, made_confirmed(list(REGULARIZATION)))
    figures = make_figures(results, outcome, tmp_path / "new" / "figures")
    assert [(figure.name, figure.phase) for figure in figures] == [
        *((name, "search") for name in EVERY),
        *((name, "confirmed") for name in CONFIRMED),
    ]
    files = {path for figure in figures for path in (figure.png, figure.svg)}
    assert files == set((tmp_path / "new" / "figures").iterdir())  # nothing half written is left
    for figure in figures:
        assert imread(figure.png).shape[1] == 1_400  # 7 inches at 200 dpi
        assert imread(figure.png)[0, 0].tolist() == [1.0, 1.0, 1.0, 1.0]
        assert ElementTree.parse(figure.svg).getroot().tag.endswith("svg")
        assert figure.alt.endswith(".") and "\n" not in figure.alt
        assert any(character.isdigit() for character in figure.alt)


def test_the_same_data_give_the_same_bytes_whatever_the_users_settings(tmp_path: Path) -> None:
    results = made_sweep({"baseline": None, "convnext": "baseline"})
    study = results, outcome_of(results, made_confirmed(["baseline", "convnext"]))
    first = make_figures(*study, tmp_path / "first")
    with matplotlib.rc_context({"lines.linewidth": 9, "svg.hashsalt": "another", "savefig.facecolor": "red"}):
        again = make_figures(*study, tmp_path / "again")
    assert len(first) == len(again) == 6
    for one, other in zip(first, again, strict=True):
        assert one.png.read_bytes() == other.png.read_bytes()
        assert one.svg.read_bytes() == other.svg.read_bytes()


def test_a_write_that_fails_leaves_the_figure_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (figure,) = make_figures(nothing_varied(made_sweep({"convnext": None}, per_arm=1)), None, tmp_path)
    before = figure.png.read_bytes()

    def cut(page: Page, path: Path, **options: object) -> None:
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Page, "savefig", cut)
    with pytest.raises(OSError, match="No space"):
        make_figures(made_sweep(), None, tmp_path)
    assert figure.png.read_bytes() == before


def nothing_varied(results: Results) -> Results:
    arms = [arm | {"space": {}} for arm in results.manifest["arms"]]
    return Results(results.manifest | {"arms": arms}, results.events)


@pytest.mark.parametrize(
    ("results", "names"),
    [
        (Results(made_sweep().manifest, []), []),
        (made_sweep(per_arm=1), ["learning-curves", "slices", "rank-agreement"]),  # no best of one
        (made_sweep({"convnext": None}, per_arm=1), ["learning-curves", "slices"]),  # no agreement of one
        (nothing_varied(made_sweep()), ["learning-curves", "rank-agreement", "best-of-n"]),
        (Results(made_sweep().manifest, made_sweep().events[:15]), ["learning-curves"]),  # interrupted
    ],
    ids=["no events", "one trial an arm", "one trial", "nothing varied", "none finished"],
)
def test_a_figure_without_data_is_not_made(results: Results, names: list[str]) -> None:
    assert list(drawn(results)) == names


def test_confirmed_runs_that_are_not_there_or_not_comparable_draw_nothing() -> None:
    confirmed = made_confirmed(list(REGULARIZATION))
    assert list(drawn(made_sweep(), None)) == EVERY
    assert list(drawn(made_sweep(), Confirmed(confirmed.manifest, [], confirmed.clips, {}))) == EVERY
    alone = made_confirmed(["mixup"])  # with nothing to compare it with
    assert list(drawn(made_sweep(), alone)) == [*EVERY, "confusion"]


def test_stand_in_data_are_marked_in_every_figure() -> None:
    results, confirmed = made_sweep(data={"stand_in": True}), made_confirmed(list(REGULARIZATION))
    confirmed.manifest["data"]["stand_in"] = True
    drawings = drawn(results, confirmed)
    assert list(drawings) == [*EVERY, *CONFIRMED]
    assert all("STAND-IN DATA" in words(drawing) for drawing in drawings.values())
    real = drawn(made_sweep(), made_confirmed(list(REGULARIZATION)))
    assert not any("STAND-IN" in words(drawing) for drawing in real.values())


def test_figures_of_the_search_say_that_nothing_was_tested() -> None:
    drawings = drawn(made_sweep(split={"val": 3}))
    assert all("SEARCH ONLY: scored on validation fold 3" in words(drawing) for drawing in drawings.values())


def test_an_untrained_encoder_is_marked_where_it_is_drawn() -> None:
    drawings = drawn(made_sweep(ARCHITECTURES), made_confirmed(list(ARCHITECTURES)))
    marked = {name for name, drawing in drawings.items() if "* UNTRAINED ENCODER" in words(drawing)}
    assert marked == {*EVERY, "baseline-vs-convnext", "features"}  # the confusion is that of a trained one
    titles = [axes.get_title("left") for axes in drawings["learning-curves"].page.axes]
    assert [title for title in titles if "*" in title] == ["hifigan-untrained *", "convnext-untrained *"]
