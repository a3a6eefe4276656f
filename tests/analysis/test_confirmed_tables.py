"""The tables of confirmed runs, from predictions and comparisons that are worked by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import analysis.error_tables
import analysis.outcome
from analysis.confirmed_tables import clean_table, confirmed_tables
from analysis.error_tables import error_tables
from analysis.frozen_tables import frozen_tables
from analysis.latex import as_latex
from analysis.load import load_results
from analysis.outcome import make_outcome
from analysis.render import as_markdown
from analysis.statistics import Comparison
from analysis.table import Table
from analysis.terminal import write_tables
from tests.analysis.made import ARMS, FIXED, captured, csv_rows, edit_json, made_arm, shown, write_right, write_study

# in every run, of the 12 clips of a fold, which are four each of three classes
HALF = [True] * 6 + [False] * 6
MOST = [True] * 9 + [False] * 3
FEW = [True] * 3 + [False] * 9


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = write_study(tmp_path / "study")
    write_right(folder, {"baseline": HALF, "convnext": HALF, "mixup": MOST, "shift": FEW})
    return folder


def tables_of(folder: Path) -> dict[str, Table]:
    results = load_results(folder)
    outcome = make_outcome(results)
    made = [*confirmed_tables(results, outcome), *clean_table(results, outcome)]
    made += frozen_tables(results, outcome.confirmed)
    return {table.name: table for table in [*made, *error_tables(results, outcome.confirmed)]}


def on_paper(table: Table) -> dict[str, dict[str, str]]:
    """Return the cells of each row, by the first one, and by heading."""
    headings = [column.heading for column in table.on_paper]
    return {cells[0]: dict(zip(headings, cells, strict=True)) for cells in table.cells(table.on_paper)}


def compare_as(monkeypatch: pytest.MonkeyPatch, **found: dict) -> None:
    """Let the comparisons find these numbers, by arm."""
    usual = {"p": 0.01, "p_adjusted": 0.02, "nadeau_bengio_p": 0.3, "detectable": 0.019}

    def compare(correct, groups, folds, sources, of_folds):
        return [Comparison(arm=arm, **usual | found[arm]) for arms in groups.values() for arm in arms]

    monkeypatch.setattr(analysis.outcome, "compare", compare)


BETTER = {"difference": 0.023, "low": 0.004, "high": 0.042, "verdict": "better"}
WORSE = {"difference": -0.031, "low": -0.05, "high": -0.012, "verdict": "worse", "p_adjusted": 0.0004}
UNSEEN = {"difference": 0.003, "low": -0.012, "high": 0.018, "verdict": "no difference seen"}


def test_accuracies_and_differences_are_those_of_the_predictions(study: Path) -> None:
    tables = tables_of(study)
    assert list(tables)[:2] == ["baseline-vs-convnext", "regularization-ablation"]
    ablation = tables["regularization-ablation"].frame
    assert ablation["accuracy"].to_dict() == {"convnext": 50.0, "mixup": 75.0, "shift": 25.0}
    assert ablation["difference"].iloc[1:].tolist() == [25.0, -25.0]
    assert tables["baseline-vs-convnext"].frame["difference"].tolist()[1] == 0.0


def test_the_arm_that_others_are_compared_with_has_no_comparison_of_its_own_there(study: Path) -> None:
    tables = tables_of(study)
    row = on_paper(tables["regularization-ablation"])["convnext"]
    assert (row["difference, points"], row["verdict"], row["p (Holm)"]) == ("–", "–", "–")
    assert on_paper(tables["baseline-vs-convnext"])["convnext"]["difference, points"] == "0.0"


def test_words_and_numbers_are_those_of_the_comparison(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare_as(monkeypatch, convnext=WORSE, mixup=BETTER, shift=UNSEEN)
    tables = tables_of(study)
    rows = on_paper(tables["regularization-ablation"]) | on_paper(tables["baseline-vs-convnext"])
    names = ("difference, points", "simultaneous 95 % interval", "verdict", "p (Holm)", "p (Nadeau-Bengio)")
    assert {arm: tuple(rows[arm][name] for name in names) for arm in ("convnext", "mixup", "shift")} == {
        "convnext": ("-3.1", "-5.0 to -1.2", "worse", "< 0.001", "0.300"),
        "mixup": ("+2.3", "+0.4 to +4.2", "better", "0.020", "0.300"),
        "shift": ("+0.3", "-1.2 to +1.8", "no difference seen (could have seen ≥ 1.9 points)", "0.020", "0.300"),
    }


def test_the_terminal_has_the_verdict_in_short_and_fits_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = "convnext-untrained"
    untrained = {"feature": "encodec", "encodec_weights": "untrained"}
    arms = [made_arm(plain, None, **untrained), made_arm("label-smoothing", plain), made_arm("shift", plain)]
    skill = {"convnext-untrained": 0.5, "label-smoothing": 0.5, "shift": 0.5}
    folder = write_study(tmp_path / "study", arms=arms, skill=skill, reference=plain)
    wide = {"difference": -0.1234, "low": -0.1534, "high": 0.1534, "verdict": "no difference seen", "detectable": 0.12}
    compare_as(monkeypatch, **{"label-smoothing": wide, "shift": wide | {"verdict": "worse"}})
    text = shown(tables_of(folder)["regularization-ablation"])
    assert "…" not in text
    assert "-12.3 -15.3 to +15.3 no difference seen (≥ 12.0)    6" in text
    assert "-12.3 -15.3 to +15.3 worse" in text
    assert "convnext-untrained * " in text


def test_a_design_that_can_see_nothing_says_so(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blind = UNSEEN | {"detectable": 1.0}
    compare_as(monkeypatch, convnext=blind, mixup=blind, shift=blind)
    table = tables_of(study)["regularization-ablation"]
    assert on_paper(table)["mixup"]["verdict"] == "no difference seen (could not have seen any)"
    assert "no difference seen (" not in shown(table)


def test_an_interval_that_ends_beside_0_keeps_its_side(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tight = BETTER | {"low": 5e-324}
    compare_as(monkeypatch, convnext=tight, mixup=BETTER | {"low": 0.0002}, shift=UNSEEN | {"low": 0.0})
    tables = tables_of(study)
    rows = on_paper(tables["baseline-vs-convnext"]) | on_paper(tables["regularization-ablation"])
    assert rows["mixup"]["simultaneous 95 % interval"] == "+0.02 to +4.2"
    assert rows["shift"]["simultaneous 95 % interval"] == "0.0 to +1.8"
    tight = on_paper(tables["baseline-vs-convnext"])["convnext"]
    assert tight["simultaneous 95 % interval"] == "> 0 to +4.2"
    assert tables["baseline-vs-convnext"].frame.loc["convnext", "low"] > 0


def test_cost_is_that_of_a_run(study: Path) -> None:
    row = on_paper(tables_of(study)["regularization-ablation"])["mixup"]
    names = ("epochs a run", "seconds a run", "parameters")
    assert [row[name] for name in names] == ["4", "6", "0.00 M"]


def test_training_accuracy_is_that_of_the_last_epochs_of_the_confirmed_runs(study: Path) -> None:
    path = study / "confirm" / "events.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    trials = [event["trial"] for event in events if event["event"] == "deal" and event["arm"] == "mixup"]
    for event in events:
        if event["event"] == "epoch" and event["trial"] in trials[:4] and event["epoch"] == 4:
            event["train_acc"] = 0.3
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    rows = on_paper(tables_of(study)["regularization-ablation"])
    assert [rows[arm]["training accuracy, %"] for arm in ("convnext", "mixup")] == ["80.0", "60.0"]  # 4 of 10 at 30 %


def test_what_was_frozen_is_told_with_the_knobs_that_the_search_varied(study: Path) -> None:
    rows = on_paper(tables_of(study)["frozen"])
    frozen = {one["arm"]: one for one in json.loads((study / "confirm" / "manifest.json").read_text())["frozen"]}
    lr, mixup = frozen["mixup"]["config"]["lr"], frozen["mixup"]["config"]["mixup"]
    told = rows["mixup"]
    assert told["what the search varied"].removesuffix(" (default)") == f"lr {lr:.3g}, mixup {mixup:.3g}"
    assert told["trial"] == str(frozen["mixup"]["trial"])
    defaults = {
        event["trial"] for event in load_results(study).events if event["event"] == "deal" and not event["sampled"]
    }
    for arm, row in rows.items():
        assert row["what the search varied"].endswith("(default)") == (frozen[arm]["trial"] in defaults)


def test_each_fold_has_its_accuracy_by_arm(study: Path) -> None:
    tables = tables_of(study)
    frame = tables["by-fold"].frame
    assert list(frame.columns) == ["encoder", *(f"fold {k}" for k in range(1, 6))]
    means = frame.drop(columns="encoder").mean(axis=1)
    assert means["mixup"] == pytest.approx(tables["regularization-ablation"].frame.loc["mixup", "accuracy"])


def test_trials_of_an_arm_that_the_searchs_log_has_lost_are_not_counted_as_none(study: Path) -> None:
    lines = [line for line in (study / "events.jsonl").read_text().splitlines() if '"arm": "mixup"' not in line]
    (study / "events.jsonl").write_text("\n".join([*lines, "no json", ""]))
    trials = tables_of(study)["regularization-ablation"].frame["trials"]
    assert trials.drop("mixup").tolist() == [3, 3]
    assert math.isnan(trials["mixup"])


def test_costs_that_the_log_does_not_tell_are_missing(study: Path) -> None:
    with (study / "confirm" / "events.jsonl").open("a") as log:
        log.write("no json\n")
    row = on_paper(tables_of(study)["regularization-ablation"])["mixup"]
    assert (row["epochs a run"], row["seconds a run"], row["parameters"]) == ("–", "–", "0.00 M")


def test_the_clean_test_fold_stands_apart(study: Path) -> None:
    write_right(study, {"shift": HALF})
    edit_json(study / "confirm" / "manifest.json", folds=[5])
    write_right(study, {"shift": MOST})
    edit_json(study / "confirm" / "manifest.json", folds=[1, 2, 3, 4, 5])
    tables = tables_of(study)
    assert tables["regularization-ablation"].frame.loc["shift", "accuracy"] == 55.0  # 4 folds of 50, one of 75
    clean = on_paper(tables["clean-test-fold"])
    assert clean["shift"]["accuracy, %"] == "75.0"
    assert (clean["shift"]["difference, points"], clean["shift"]["compared with"]) == ("+25.0", "convnext")
    assert clean["baseline"]["difference, points"] == "–"
    assert tables["clean-test-fold"].title == "The clean test fold 5 alone"


def test_folds_that_the_search_used_are_named_in_every_form(study: Path) -> None:
    words = "Folds 1, 2, 3, 4 were also used to select these configurations. The search never saw fold 5"
    tables = tables_of(study)
    for name in ("baseline-vs-convnext", "regularization-ablation", "per-class", "confused-pairs"):
        assert words in as_markdown(tables[name])


FALSE_CALLS = "the chance of any false call is 5 % in each table, up to 10 % in the 2 together"


def test_what_two_tables_together_may_call_falsely_is_said_in_every_form(study: Path) -> None:
    console = captured()
    write_tables(study, console)
    assert FALSE_CALLS in " ".join(console.file.getvalue().split())
    for name in ("baseline-vs-convnext", "regularization-ablation"):
        for form in (as_markdown, as_latex):
            assert FALSE_CALLS in form(tables_of(study)[name]).replace("\\%", "%")


@pytest.mark.parametrize("arms", [ARMS[:2], [ARMS[1] | {"against": None}, *ARMS[2:]]])
def test_one_table_of_comparisons_says_nothing_of_several(tmp_path: Path, arms: list[dict]) -> None:
    tables = tables_of(write_study(tmp_path / "study", arms=arms, top=2))  # the first arm's second one stands alone
    assert not any("false call" in table.caption for table in tables.values())


def test_runs_on_the_clean_fold_alone_have_no_table_apart(tmp_path: Path) -> None:
    tables = tables_of(write_study(tmp_path / "study", folds=(5,)))
    assert "clean-test-fold" not in tables
    assert "also used to select" not in tables["regularization-ablation"].caption
    assert "The search never saw fold 5." in tables["regularization-ablation"].caption


def test_without_a_test_fold_there_is_no_clean_table_and_it_is_said(study: Path) -> None:
    split = load_results(study).manifest["split"] | {"train": [1, 2, 3, 4], "val": 5, "test": None}
    edit_json(study / "manifest.json", split=split)
    tables = tables_of(study)
    assert "clean-test-fold" not in tables
    assert "NO TEST FOLD was kept from the search." in tables["regularization-ablation"].caption


def test_arms_whose_partner_was_left_out_stand_alone(study: Path) -> None:
    for path in (study / "confirm" / "predictions").glob("convnext-*"):
        path.unlink()
    tables = tables_of(study)
    assert next(iter(tables)) == "arms"
    assert tables["arms"].frame["accuracy"].to_dict() == {"baseline": 50.0, "mixup": 75.0, "shift": 25.0}
    assert tables["arms"].frame["difference"].isna().all()


def test_arms_that_stand_alone_show_how_sure_their_accuracy_is_and_nothing_of_differences(study: Path) -> None:
    for path in (study / "confirm" / "predictions").glob("convnext-*"):
        path.unlink()
    table = tables_of(study)["arms"]
    row = table.frame.loc["mixup"]
    assert f"mixup    75.0  {row['accuracy low']:.1f} to {row['accuracy high']:.1f}" in shown(table)
    assert row["accuracy low"] < 75.0 < row["accuracy high"]
    assert "verdict" not in shown(table)
    assert "Differences" not in table.caption
    assert "Epochs and seconds are those of one run." in table.caption


def test_several_features_stand_in_one_table_by_feature(tmp_path: Path) -> None:
    arms = [
        made_arm("hifigan-raw", None, model="hifigan", feature="raw"),
        made_arm("convnext-raw", "hifigan-raw", feature="raw"),
        made_arm("hifigan-logmel", None, model="hifigan"),
        made_arm("convnext-logmel", "hifigan-logmel"),
    ]
    skill = {arm["name"]: 0.6 for arm in arms}
    (table, *_) = tables_of(write_study(tmp_path / "study", arms=arms, skill=skill, reference=None)).values()
    assert table.title.endswith("1d ConvNeXt, by feature")
    assert [cells[:2] for cells in table.cells(table.on_paper)] == [
        ["raw 8 kHz", "hifigan-raw"],
        ["raw 8 kHz", "convnext-raw"],
        ["log-mel 64 bands 8 kHz", "hifigan-logmel"],
        ["log-mel 64 bands 8 kHz", "convnext-logmel"],
    ]
    assert table.starts == [False, False, True, False]


def test_an_arm_is_compared_with_its_baseline_and_with_its_model_on_raw_audio(tmp_path: Path) -> None:
    arms = [
        made_arm("hifigan-raw", None, model="hifigan", feature="raw"),
        made_arm("convnext-raw", "hifigan-raw", feature="raw"),
        made_arm("hifigan-logmel", None, model="hifigan"),
        made_arm("convnext-logmel", "hifigan-logmel"),
    ]
    skill = {"hifigan-raw": 0.2, "convnext-raw": 0.4, "hifigan-logmel": 0.6, "convnext-logmel": 0.9}
    tables = tables_of(write_study(tmp_path / "study", arms=arms, skill=skill, reference=None))
    by_model, by_feature = tables["baseline-vs-convnext"].frame, tables["features"].frame
    accuracy = by_feature["accuracy"]
    assert by_model.loc["convnext-logmel", "difference"] == pytest.approx(
        accuracy["convnext-logmel"] - accuracy["hifigan-logmel"], abs=0.01
    )
    assert by_feature["difference"].dropna().to_dict() == {
        f"{model}-logmel": pytest.approx(accuracy[f"{model}-logmel"] - accuracy[f"{model}-raw"], abs=0.01)
        for model in ("hifigan", "convnext")
    }
    assert set(by_feature["verdict"]) == {"", "better"}


def test_further_configurations_are_compared_as_their_arms_first_is(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", top=2)
    tables = tables_of(folder)
    assert list(tables["baseline-vs-convnext"].frame.index) == ["baseline", "convnext", "convnext#2"]
    assert list(tables["regularization-ablation"].frame.index) == [
        *("convnext", "mixup", "mixup#2", "shift", "shift#2"),
    ]
    assert list(tables["arms"].frame.index) == ["baseline#2"]


def test_a_csv_says_what_its_figures_were_tested_on(study: Path) -> None:
    rows = csv_rows(tables_of(study)["regularization-ablation"])
    assert [row["arm"] for row in rows] == ["convnext", "mixup", "shift"]
    assert rows[1]["accuracy"] == "75.0"
    assert rows[1]["tested on"] == "folds 1, 2, 3, 4, 5, each by models trained on all others"


def test_classes_come_with_their_accuracy_the_hardest_first(study: Path) -> None:
    table = tables_of(study)["per-class"]
    # of four clips of each class HALF has 4, 2 and 0 right, MOST 4, 4 and 1, FEW 3, 0 and 0
    assert table.frame.index.tolist() == ["class_2", "class_1", "class_0"]
    assert table.frame["convnext"].tolist() == [0.0, 50.0, 100.0]
    assert table.frame["mixup"].tolist() == [25.0, 100.0, 100.0]
    assert table.frame["clips"].tolist() == [20, 20, 20]


def test_the_most_confused_pairs_come_with_their_shares(study: Path) -> None:
    table = tables_of(study)["confused-pairs"]
    # what is wrong is taken for the next class: 3.75 of 4 class_2 for class_0, 2 of 4 class_1 for class_2
    assert [cells[:2] for cells in table.cells(table.on_paper)] == [
        ["class_2", "class_0"],
        ["class_1", "class_2"],
        ["class_0", "class_1"],
    ]
    assert table.frame.loc["class_2", ["baseline", "convnext", "mixup", "shift"]].tolist() == [100, 100, 75, 100]
    assert table.frame["shift"].tolist() == [100.0, 100.0, 25.0]


def test_of_too_many_classes_for_a_confusion_matrix_it_is_said_that_there_is_none(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "matrix" not in tables_of(study)["confused-pairs"].caption
    monkeypatch.setattr(analysis.error_tables, "DRAWN", 2)
    caption = tables_of(study)["confused-pairs"].caption
    assert caption.endswith(" The confusion matrix is not drawn: it has no room for 3 classes.")


def test_without_a_confusion_there_is_no_table_of_pairs(study: Path) -> None:
    write_right(study, dict.fromkeys(("baseline", "convnext", "mixup", "shift"), [True] * 12))
    assert "confused-pairs" not in tables_of(study)


def test_runs_of_other_code_are_marked_in_every_table(study: Path) -> None:
    edit_json(study / "confirm" / "manifest.json", commit=None)
    words = "OTHER CODE: the confirmed runs ran on code of no known commit, the sweep on commit 0123456789; none is "
    words += "left out, as all share it."
    assert all(words in table.caption for table in tables_of(study).values())


def test_stand_in_data_and_untrained_encoders_are_marked(tmp_path: Path) -> None:
    untrained = FIXED | {"feature": "encodec", "encodec_weights": "untrained"}
    arms = [arm | {"fixed": untrained} if arm["name"] == "mixup" else arm for arm in ARMS]
    folder = write_study(tmp_path / "study", arms=arms)
    data = load_results(folder).manifest["data"] | {"stand_in": True}
    edit_json(folder / "manifest.json", data=data)
    tables = tables_of(folder)
    assert tables["regularization-ablation"].title.endswith("[STAND-IN DATA] [* UNTRAINED ENCODER]")
    assert tables["per-class"].title.endswith("[STAND-IN DATA] [* UNTRAINED ENCODER]")
    assert "mixup *" in on_paper(tables["clean-test-fold"])
    assert all("STAND-IN DATA: procedural" in table.caption for table in tables.values())
