"""Tables from a results folder whose numbers are worked by hand."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from analysis.__main__ import write_tables
from analysis.errors import ResultsError
from analysis.load import load_results
from analysis.render import as_csv, as_markdown, as_terminal
from analysis.tables import make_tables

FIXED = {"feature": "logmel", "clip_seconds": 0.25}
MANIFEST = {
    "format": 1,
    "name": "made",
    "data": {
        "title": "tones (400 clips, 10 classes)",
        "stand_in": False,
        "padded": 3,
        "cut": 2,
        "rates": {"8000": 400},
    },
    "split": {"train": [1, 2, 3], "val": 4, "test": 5, "train_clips": 240, "val_clips": 80, "left_out": 0},
    "preset": {"name": "small", "says": "reduced"},
    "arms": [
        {"name": "baseline", "parameters": 1_000, "epochs": 2, "fixed": FIXED},
        {"name": "convnext", "parameters": 2_000, "epochs": 2, "fixed": FIXED},
        {"name": "mixup", "parameters": 2_000, "epochs": 2, "fixed": FIXED},
    ],
    "reference": "convnext",
    "trials": 6,
}

# trial: arm, is default, validation accuracies, loss of the last epoch, why it ended
TRIALS = [
    ("baseline", True, [0.1, 0.4], 1.0, "finished"),
    ("convnext", True, [0.9, 0.5], 1.0, "finished"),  # its first epoch was its best, and does not count
    ("mixup", True, [0.2, 0.55], 1.0, "finished"),
    ("baseline", False, [0.45], 1.0, "stopped"),  # better than the other, but not a full run
    ("convnext", False, [0.3, 0.5], 0.8, "finished"),  # a tie in accuracy: the lower loss is the best
    ("mixup", False, [0.3, 0.65], 1.0, "finished"),
]


def write_results(folder: Path, run: list = TRIALS, **changes) -> Path:
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({**MANIFEST, **changes}))
    events = []
    for number, (arm, default, scores, loss, reason) in enumerate(run):
        events.append({"event": "deal", "trial": number, "arm": arm, "sampled": {} if default else {"lr": 0.1}})
        for epoch, score in enumerate(scores, start=1):
            numbers = {"val_acc": score, "val_loss": loss, "train_acc": loss - 0.1, "seconds": 1.5}
            events.append({"event": "epoch", "trial": number, "arm": arm, "epoch": epoch, **numbers})
        if reason:
            events.append({"event": "end", "trial": number, "arm": arm, "reason": reason, "epochs": len(scores)})
    lines = [json.dumps({"seq": seq, **event}) + "\n" for seq, event in enumerate(events)]
    (folder / "events.jsonl").write_text("".join(lines))
    return folder


@pytest.fixture
def tables(tmp_path: Path) -> dict:
    return {table.name: table for table in make_tables(load_results(write_results(tmp_path / "made")))}


def test_the_baseline_is_compared_with_the_convnext(tables: dict) -> None:
    frame = tables["baseline-vs-convnext"].frame
    assert list(frame.index) == ["baseline", "convnext"]
    assert frame["best"].tolist() == [40.0, 50.0]
    assert math.isnan(frame.loc["baseline", "difference"])
    assert frame.loc["convnext", "difference"] == 10.0
    assert frame["full"].tolist() == [1, 2]
    assert frame["stopped"].tolist() == [1, 0]
    assert frame["epochs"].tolist() == [3, 4]
    assert frame["seconds"].tolist() == [4.5, 6.0]
    assert frame["parameters"].tolist() == [1_000, 2_000]


def test_each_regularizer_is_compared_with_the_plain_convnext(tables: dict) -> None:
    frame = tables["regularization-ablation"].frame
    assert list(frame.index) == ["convnext", "mixup"]
    assert frame.loc["mixup", "difference"] == 15.0
    assert frame["default"].tolist() == [50.0, 55.0]
    assert frame["median"].tolist() == [50.0, 60.0]


def test_a_tie_goes_to_the_lower_validation_loss(tables: dict) -> None:
    assert tables["baseline-vs-convnext"].frame.loc["convnext", "train of best"] == 70.0


def test_an_arm_without_a_full_run_has_no_score_and_no_difference(tmp_path: Path) -> None:
    trials = [*TRIALS[:2], ("mixup", True, [0.9], 1.0, "stopped")]
    frame = make_tables(load_results(write_results(tmp_path / "made", trials)))[1].frame
    assert frame.loc["mixup", ["best", "difference", "default", "median"]].isna().all()


def test_the_caption_says_what_the_figures_are(tables: dict) -> None:
    caption = tables["regularization-ablation"].caption
    for words in (
        "tones (400 clips",
        "8,000 Hz",
        "3 clips padded and 2 cut to 0.25 s",
        "fold 4 (80 clips)",
        "folds 1, 2, 3",
        "optimistic",
        "5.6 points",
        "Preset small",
    ):
        assert words in caption
    for words in ("STAND-IN", "NO TEST FOLD", "INCOMPLETE"):
        assert words not in caption


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {**MANIFEST["data"], "stand_in": True}}, "STAND-IN DATA"),
        ({"split": {**MANIFEST["split"], "test": None}}, "NO TEST FOLD"),
        ({"split": {**MANIFEST["split"], "left_out": 3}}, "3 clips are left out"),
        ({"trials": 8}, "INCOMPLETE: 2 of 8 trials have not ended"),
    ],
)
def test_a_caveat_stands_in_every_table(tmp_path: Path, changes: dict, words: str) -> None:
    tables = make_tables(load_results(write_results(tmp_path / "made", **changes)))
    assert len(tables) == 2
    assert all(words in table.caption and words in as_markdown(table) for table in tables)


def test_stand_in_data_is_named_in_every_form(tmp_path: Path) -> None:
    title = "embedded stand-in (procedural sounds, no recordings)"
    data = MANIFEST["data"] | {"title": title, "stand_in": True}
    results = load_results(write_results(tmp_path / "made", data=data))
    for table in make_tables(results):
        console = Console(file=io.StringIO(), width=80)
        console.print(as_terminal(table))
        assert "STAND-IN" in console.file.getvalue()
        assert all("stand-in" in row["data"] for row in csv.DictReader(io.StringIO(as_csv(table, results))))


def test_untrained_weights_are_named_in_every_form(tmp_path: Path) -> None:
    untrained = FIXED | {"feature": "encodec", "encodec_weights": "untrained"}
    arms = [
        arm | {"fixed": untrained if arm["name"] == "mixup" else FIXED | {"feature": "encodec"}}
        for arm in MANIFEST["arms"]
    ]
    for table in make_tables(load_results(write_results(tmp_path / "made", arms=arms))):
        assert "[UNTRAINED ENCODER]" in table.title
        assert "UNTRAINED ENCODER: mixup: EnCodec with random weights" in table.caption


def test_the_terminal_table_fits_80_columns_uncut(tmp_path: Path) -> None:
    names = {"baseline": "baseline", "convnext": "convnext", "mixup": "label-smoothing"}
    arms = [{**arm, "name": names[arm["name"]], "parameters": 36_595_186} for arm in MANIFEST["arms"]]
    trials = [(names[arm], *rest) for arm, *rest in TRIALS]
    console = Console(file=io.StringIO(), width=80)
    for table in make_tables(load_results(write_results(tmp_path / "made", trials, arms=arms))):
        console.print(as_terminal(table))
    assert "…" not in console.file.getvalue()
    assert "label-smoothing" in console.file.getvalue()


def test_the_files_hold_the_same_numbers(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "made")
    write_tables(folder, Console(file=io.StringIO()))
    with (folder / "tables" / "regularization-ablation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["arm"], row["best"], row["difference"]) for row in rows] == [
        ("convnext", "50.0", ""),
        ("mixup", "65.0", "15.0"),
    ]
    assert "+15.0" in (folder / "tables" / "regularization-ablation.md").read_text()


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("manifest.json", b"{", "manifest.json' is damaged: it is no JSON"),
        ("manifest.json", b"\xff\xfe", "manifest.json' is damaged: it is no JSON"),
        ("manifest.json", b"[]", "manifest.json' is damaged: it has no format"),
        ("manifest.json", b'{"format": "x"}', "manifest.json' is damaged: it has no format"),
        ("manifest.json", b'{"format": 1}', "manifest.json' is damaged: it has no name"),
        ("manifest.json", b'{"format": 2}', "format 2"),
        ("events.jsonl", b'{"seq": 0}\nnot json\n', "line 2 is damaged"),
        ("events.jsonl", b"\xff\n", "line 1 is damaged"),
    ],
)
def test_a_damaged_folder_is_named(tmp_path: Path, file: str, text: bytes, words: str) -> None:
    folder = write_results(tmp_path / "made")
    (folder / file).write_bytes(text)
    with pytest.raises(ResultsError, match=words):
        load_results(folder)


def test_a_folder_that_is_no_results_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"is no results folder: there is no manifest\.json"):
        load_results(tmp_path)


def test_a_last_line_that_was_cut_is_left_out(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "made")
    whole = load_results(folder).events
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"seq": 99, "event": "ep')
    assert load_results(folder).events == whole


def test_the_default_setting_is_an_arms_first_trial_even_if_nothing_is_sampled(tmp_path: Path) -> None:
    trials = [("convnext", True, [0.4, 0.5], 1.0, "finished"), ("convnext", True, [0.4, 0.9], 1.0, "finished")]
    trials += [("mixup", True, [0.4, 0.5], 1.0, "finished")]
    (table,) = make_tables(load_results(write_results(tmp_path / "made", trials, arms=MANIFEST["arms"][1:])))
    assert table.frame["default"].tolist() == [50.0, 50.0]
    assert table.frame["best"].tolist() == [90.0, 50.0]


def test_arms_without_one_to_compare_with_still_have_a_table(tmp_path: Path) -> None:
    (table,) = make_tables(load_results(write_results(tmp_path / "made", arms=MANIFEST["arms"][2:])))
    assert table.frame["best"].tolist() == [65.0]
    assert table.frame["difference"].isna().all()


def test_one_trial_an_arm_is_not_called_the_best_of_several(tmp_path: Path) -> None:
    results = load_results(write_results(tmp_path / "made", TRIALS[:3], trials=3))
    assert "best of several" not in make_tables(results)[0].caption


def test_failed_and_diverged_trials_stand_in_the_caption(tmp_path: Path) -> None:
    trials = [*TRIALS[:4], ("convnext", False, [0.1], 1.0, "error"), ("mixup", False, [0.0], 1.0, "diverged")]
    caption = make_tables(load_results(write_results(tmp_path / "made", trials)))[0].caption
    assert "FAILED: 1 of 6 trials." in caption
    assert "DIVERGED: 1 of 6 trials." in caption


def test_a_csv_says_that_there_is_no_test_fold(tmp_path: Path) -> None:
    results = load_results(write_results(tmp_path / "made", split=MANIFEST["split"] | {"test": None}))
    assert all("NO TEST FOLD" in as_csv(table, results) for table in make_tables(results))


def test_a_sweep_that_was_interrupted_before_its_first_epoch_still_has_tables(tmp_path: Path) -> None:
    tables = make_tables(load_results(write_results(tmp_path / "made", [])))
    assert len(tables) == 2
    assert tables[0].frame["best"].isna().all()
