"""Tables of a search whose numbers are worked by hand."""

from __future__ import annotations

import csv
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.errors import ResultsError
from analysis.layout import make_parts
from analysis.load import Results, load_results
from analysis.render import as_csv, as_markdown
from analysis.search_tables import search_tables
from analysis.table import Table
from analysis.terminal import write_tables
from tests.analysis.made import ARMS, captured, csv_rows, made_arm, made_manifest, shown

MANIFEST = made_manifest(arms=ARMS[:3], classes=10, clips=400, trials=6)

# trial: arm, is default, validation accuracies, loss of the last epoch, why it ended
TRIALS = [
    ("baseline", True, [0.1, 0.4], 1.0, "finished"),
    ("convnext", True, [0.9, 0.5], 1.0, "finished"),  # its first epoch was its best, and does not count
    ("mixup", True, [0.2, 0.55], 1.0, "finished"),
    ("baseline", False, [0.45], 1.0, "stopped"),  # better than the other, but not a full run
    ("convnext", False, [0.3, 0.5], 0.8, "finished"),  # a tie in accuracy: the lower loss is the best
    ("mixup", False, [0.3, 0.65], 1.0, "finished"),
]


# a feature's two arms: their knobs
FEATURES = {
    "raw": {"feature": "raw", "sample_rate": 44_100, "crop_seconds": 1.5, "crop_views": 4},
    "raw24": {"feature": "raw", "sample_rate": 24_000},
    "logmel": {"sample_rate": 24_000, "logmel_bands": 128},
    "encodec": {"feature": "encodec", "sample_rate": 24_000},
    "untrained": {"feature": "encodec", "sample_rate": 24_000, "encodec_weights": "untrained"},
}
ARCHITECTURES = [
    arm
    for feature, knobs in FEATURES.items()
    for arm in (
        made_arm(f"hifigan-{feature}", None, 2_000, model="hifigan", **knobs),
        made_arm(f"convnext-{feature}", f"hifigan-{feature}", 3_000, **knobs),
    )
] + [made_arm("causal-lm", "hifigan-encodec", 1_000, model="causal", code_lm=1.0, **FEATURES["encodec"])]

# arm: the accuracy of its one trial
SCORES = {
    "hifigan-raw": 0.3,
    "convnext-raw": 0.45,
    "hifigan-raw24": 0.35,
    "convnext-raw24": 0.3,
    "hifigan-logmel": 0.5,
    "convnext-logmel": 0.65,
    "hifigan-encodec": 0.6,
    "convnext-encodec": 0.7,
    "hifigan-untrained": 0.2,
    "convnext-untrained": 0.25,
    "causal-lm": 0.55,
}


def part(arms: list[dict], *names: str) -> list[dict]:
    """Return the arms of a sweep of these names alone."""
    return [
        arm | {"against": arm["against"] if arm["against"] in names else None} for arm in arms if arm["name"] in names
    ]


def with_knobs(name: str, **knobs) -> list[dict]:
    """Return the arms of the architectures sweep, one of them with other knobs."""
    return [arm | {"fixed": arm["fixed"] | knobs} if arm["name"] == name else arm for arm in ARCHITECTURES]


def without(manifest: dict, key: str) -> bytes:
    """Return a manifest that lacks an entry."""
    return json.dumps({name: value for name, value in manifest.items() if name != key}).encode()


def with_arms_without(key: str) -> bytes:
    """Return a manifest whose arms lack an entry."""
    arms = [{name: value for name, value in arm.items() if name != key} for arm in ARMS[:3]]
    return json.dumps(MANIFEST | {"arms": arms}).encode()


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


def write_architectures(folder: Path, arms: list[dict] = ARCHITECTURES, **changes) -> Path:
    run = [(arm["name"], True, [0.1, SCORES[arm["name"]]], 1.0, "finished") for arm in arms]
    return write_results(folder, run, arms=arms, **{"reference": None, "trials": len(arms), **changes})


def markdown_rows(table: Table) -> list[list[str]]:
    """Return the cells of the Markdown table, its heading first."""
    lines = [line for line in as_markdown(table).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])]


@pytest.fixture
def architectures(tmp_path: Path) -> Results:
    return load_results(write_architectures(tmp_path / "architectures"))


@pytest.fixture
def tables(tmp_path: Path) -> dict:
    return {table.name: table for table in search_tables(load_results(write_results(tmp_path / "made")))}


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


def test_each_convnext_is_compared_with_the_baseline_on_its_feature(architectures: Results) -> None:
    table, _ = search_tables(architectures)
    assert table.name == "baseline-vs-convnext"
    assert table.title.startswith("Baseline (HiFi-GAN discriminator) against 1d ConvNeXt, by feature")
    assert table.frame["difference"].dropna().to_dict() == {
        "convnext-raw": 15.0,
        "convnext-raw24": -5.0,
        "convnext-logmel": 15.0,
        "convnext-encodec": 10.0,
        "causal-lm": -5.0,
        "convnext-untrained": 5.0,
    }
    assert table.frame.loc["convnext-raw24", "best"] == 30.0


def test_the_rows_against_a_baseline_follow_it_in_the_manifests_order(architectures: Results) -> None:
    table, _ = search_tables(architectures)
    assert list(table.frame.index) == [*list(SCORES)[:8], "causal-lm", "hifigan-untrained", "convnext-untrained"]


def test_a_line_parts_the_features_in_the_terminal(architectures: Results, tables: dict) -> None:
    table, _ = search_tables(architectures)
    lines = shown(table).splitlines()
    below = [after.split()[0] for line, after in itertools.pairwise(lines) if line.startswith("──")]
    assert below == [f"hifigan-{feature}" for feature in FEATURES]
    assert lines[-1].startswith("convnext-untrained")
    for table in tables.values():
        assert sum(line.startswith("──") for line in shown(table).splitlines()) == 1


def test_the_features_stand_first_in_the_files_where_there_are_several(architectures: Results, tables: dict) -> None:
    table, _ = search_tables(architectures)
    words = {
        "hifigan-raw": "raw 44.1 kHz",
        "convnext-raw24": "raw 24 kHz",
        "hifigan-logmel": "log-mel 128 bands 24 kHz",
        "convnext-encodec": "EnCodec",
        "causal-lm": "EnCodec",
        "hifigan-untrained": "EnCodec, untrained",
    }
    rows = csv_rows(table)
    assert words.items() <= {row["arm"]: row["feature"] for row in rows}.items()
    assert list(rows[0])[:3] == ["feature", "arm", "best"]
    heading, *body = markdown_rows(table)
    assert heading[:3] == ["feature", "arm", "best, %"]
    assert [cells[0] for cells in body] == [row["feature"] for row in rows]
    for table in tables.values():
        assert markdown_rows(table)[0][:2] == ["arm", "best, %"]
        assert "feature" not in table.frame


def test_each_feature_is_compared_with_raw_audio_at_its_rate_by_model(architectures: Results) -> None:
    _, table = search_tables(architectures)
    assert (table.name, table.title[:40]) == ("features", "Features, by model: each against the fir")
    assert table.starts == [*[False] * 5, True, *[False] * 4]
    assert list(table.frame["difference"].items())[1:5] == [
        ("hifigan-raw", -5.0),
        ("hifigan-logmel", 15.0),
        ("hifigan-encodec", 25.0),
        ("hifigan-untrained", -15.0),
    ]
    assert table.frame["difference"].dropna()["convnext-raw":].to_dict() == {
        "convnext-raw": 15.0,
        "convnext-logmel": 35.0,
        "convnext-encodec": 40.0,
        "convnext-untrained": -5.0,
    }


def test_without_raw_audio_features_are_compared_with_the_first(tmp_path: Path) -> None:
    arms = part(ARCHITECTURES, "convnext-logmel", "convnext-encodec")
    (table,) = search_tables(load_results(write_architectures(tmp_path / "made", arms)))
    assert table.frame["difference"].dropna().to_dict() == {"convnext-encodec": 5.0}


def test_one_baseline_is_no_table_by_feature(tmp_path: Path) -> None:
    arms = part(ARCHITECTURES, "hifigan-encodec", "causal-lm")
    (table,) = search_tables(load_results(write_architectures(tmp_path / "made", arms)))
    assert table.title == "Baseline (HiFi-GAN discriminator) against 1d ConvNeXt"
    assert table.frame.loc["causal-lm", "difference"] == -5.0


def test_arms_whose_partners_are_missing_have_a_table_beside_the_others(tmp_path: Path) -> None:
    arms = part(ARCHITECTURES, "convnext-raw", "hifigan-logmel", "convnext-logmel", "causal-lm")
    versus, features, alone = search_tables(load_results(write_architectures(tmp_path / "made", arms)))
    assert list(versus.frame.index) == ["hifigan-logmel", "convnext-logmel"]
    assert list(features.frame.index) == ["convnext-raw", "convnext-logmel"]
    assert (alone.name, alone.title) == ("arms", "The sweep's arms, without one to compare with")
    assert alone.frame["best"].to_dict() == {"causal-lm": 55.0}
    assert alone.frame["difference"].isna().all()


@pytest.mark.parametrize(
    ("reference", "model", "on", "words"),
    [
        ("convnext", "convnext", [], "the plain ConvNeXt"),
        ("convnext", "convnext", ["shift"], "convnext with shift on"),
        ("convnext-raw", "convnext", [], "convnext-raw, the plain ConvNeXt"),
        ("convnext-raw", "convnext", ["dropout", "ema"], "convnext-raw with dropout and ema on"),
        ("causal", "causal", [], "causal, the plain causal ConvNeXt"),
        ("causal-lm", "causal", ["dropout", "code-lm", "sam"], "causal-lm with dropout, code-lm and sam on"),
    ],
)
def test_the_ablation_names_what_it_compares_with(
    tmp_path: Path, reference: str, model: str, on: list[str], words: str
) -> None:
    arms = [made_arm(reference, None, model=model, on=on), made_arm("mixup", reference, model=model, on=[*on, "mixup"])]
    trials = [(reference, True, [0.3, 0.5], 1.0, "finished"), TRIALS[2]]
    folder = write_results(tmp_path / "made", trials, arms=arms, reference=reference)
    (table,) = search_tables(load_results(folder))
    assert table.name == "regularization-ablation"
    assert table.title == f"Regularization ablation: each arm against {words}"
    assert table.frame.loc["mixup", "difference"] == 5.0


def test_a_tie_goes_to_the_lower_validation_loss(tables: dict) -> None:
    assert tables["baseline-vs-convnext"].frame.loc["convnext", "train of best"] == 70.0


def test_an_arm_without_a_full_run_has_no_score_and_no_difference(tmp_path: Path) -> None:
    trials = [*TRIALS[:2], ("mixup", True, [0.9], 1.0, "stopped")]
    frame = search_tables(load_results(write_results(tmp_path / "made", trials)))[1].frame
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


def test_the_caption_says_which_arms_train_on_crops(architectures: Results) -> None:
    caption = search_tables(architectures)[0].caption
    crops = "hifigan-raw, convnext-raw train on random crops of 1.5 s; evaluation averages 4 of them, evenly spaced."
    assert crops in caption
    assert caption.count("crops") == 1


def test_arms_with_other_crops_are_told_apart(tmp_path: Path) -> None:
    arms = with_knobs("convnext-raw", crop_seconds=2.0, crop_views=10)
    caption = search_tables(load_results(write_architectures(tmp_path / "made", arms)))[0].caption
    assert "hifigan-raw trains on random crops of 1.5 s; evaluation averages 4 of them" in caption
    assert "convnext-raw trains on random crops of 2 s; evaluation averages 10 of them" in caption


def test_the_caption_says_which_arms_predict_codes(architectures: Results, tables: dict) -> None:
    words = "causal-lm also predicts EnCodec's codes of the next frame (weight 1)."
    assert words in search_tables(architectures)[0].caption
    assert "next frame" not in tables["baseline-vs-convnext"].caption


def test_a_weight_of_the_codes_that_the_search_varies_is_told_as_its_range(tmp_path: Path) -> None:
    space = {"code_lm": {"low": 0.03, "high": 3.0, "log": True}}
    both = part(ARCHITECTURES, "hifigan-encodec", "causal-lm")
    arms = [arm | {"space": space, "fixed": arm["fixed"] | {"code_lm": 1.0}} for arm in both]
    caption = search_tables(load_results(write_architectures(tmp_path / "made", arms)))[0].caption
    words = "hifigan-encodec, causal-lm also predict EnCodec's codes of the next frame (weight 0.03 to 3)."
    assert words in caption


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
    tables = search_tables(load_results(write_results(tmp_path / "made", **changes)))
    assert len(tables) == 2
    assert all(words in table.caption and words in as_markdown(table) for table in tables)


def test_stand_in_data_is_named_in_every_form(tmp_path: Path) -> None:
    title = "embedded stand-in (procedural sounds, no recordings)"
    data = MANIFEST["data"] | {"title": title, "stand_in": True}
    results = load_results(write_results(tmp_path / "made", data=data))
    for table in search_tables(results):
        assert "STAND-IN" in shown(table)
        assert all("stand-in" in row["data"] for row in csv_rows(table))


def test_untrained_weights_beside_others_are_marked_in_every_form(architectures: Results) -> None:
    table, _ = search_tables(architectures)
    untrained = ["hifigan-untrained", "convnext-untrained"]
    assert table.title.endswith(" [* UNTRAINED ENCODER]")
    assert table.caption.startswith("* UNTRAINED ENCODER: hifigan-untrained, convnext-untrained: EnCodec with random")
    assert [line.split("  ")[0] for line in shown(table).splitlines() if " * " in line] == [
        "hifigan-untrained *",
        "convnext-untrained * 25.0",
    ]
    assert [row[1] for row in markdown_rows(table) if "*" in row[1]] == [f"{arm} *" for arm in untrained]
    assert "\n\\* UNTRAINED ENCODER" in as_markdown(table)  # escaped: no list
    encoders = {row["arm"]: row["encoder"] for row in csv_rows(table)}
    pretrained = ["hifigan-encodec", "convnext-encodec", "causal-lm"]
    assert encoders == dict.fromkeys(SCORES, "") | dict.fromkeys(untrained, "untrained") | dict.fromkeys(
        pretrained, "pretrained"
    )


@pytest.mark.parametrize(("feature", "mark"), [("untrained", " [UNTRAINED ENCODER]"), ("encodec", ""), ("logmel", "")])
def test_a_title_has_the_mark_of_all_its_arms(tmp_path: Path, feature: str, mark: str) -> None:
    arms = part(ARCHITECTURES, f"hifigan-{feature}", f"convnext-{feature}")
    (table,) = search_tables(load_results(write_architectures(tmp_path / "made", arms)))
    assert table.title == "Baseline (HiFi-GAN discriminator) against 1d ConvNeXt" + mark


def test_a_table_of_trained_encoders_has_no_mark_beside_one_that_has(tmp_path: Path) -> None:
    arms = [*MANIFEST["arms"][:2], made_arm("mixup", "convnext", 2_000, **FEATURES["untrained"])]
    versus, ablation = search_tables(load_results(write_results(tmp_path / "made", arms=arms)))
    assert "UNTRAINED" not in versus.title
    assert ablation.title.endswith(" [* UNTRAINED ENCODER]")
    assert "UNTRAINED ENCODER: mixup" in versus.caption


def test_weights_from_a_file_are_neither_and_their_path_is_not_told(tmp_path: Path) -> None:
    arms = with_knobs("causal-lm", encodec_weights="/home/somebody/weights.th")
    results = load_results(write_architectures(tmp_path / "made", arms))
    table, _ = search_tables(results)
    assert "EnCodec's weights from a file: causal-lm." in table.caption
    assert "UNTRAINED ENCODER: hifigan-untrained, convnext-untrained:" in table.caption
    row = next(row for row in csv_rows(table) if row["arm"] == "causal-lm")
    assert (row["encoder"], row["feature"]) == ("file", "EnCodec, weights from a file")
    assert not any("somebody" in text for text in (table.caption, as_markdown(table), as_csv(table)))


def test_the_terminal_table_fits_80_columns_uncut(tmp_path: Path) -> None:
    names = {"baseline": "baseline", "convnext": "convnext", "mixup": "label-smoothing"}
    arms = [{**arm, "name": names[arm["name"]], "parameters": 36_595_186} for arm in MANIFEST["arms"]]
    trials = [(names[arm], *rest) for arm, *rest in TRIALS]
    texts = [shown(table) for table in search_tables(load_results(write_results(tmp_path / "made", trials, arms=arms)))]
    assert not any("…" in text for text in texts)
    assert "label-smoothing" in texts[1]


def test_the_longest_arms_with_large_figures_fit_80_columns_uncut(tmp_path: Path) -> None:
    arms = [arm | {"parameters": 36_595_186} for arm in ARCHITECTURES]
    table, _ = search_tables(load_results(write_architectures(tmp_path / "made", arms)))
    large = {"best": 100.0, "difference": -10.0, "full": 10, "trials": 10, "epochs": 10_000, "seconds": 12_345.0}
    text = shown(replace(table, frame=table.frame.assign(**large)))
    assert "…" not in text
    assert all(arm in text for arm in SCORES)
    assert "convnext-untrained * 100.0 -10.0" in text
    assert all(words in text for words in ("10/10 10,000 12,345 36.6 M", "100.0"))


def test_large_models_are_told_to_a_tenth_of_a_million_and_small_ones_to_a_hundredth(tmp_path: Path) -> None:
    sizes = {"baseline": 9_994_000, "convnext": 36_595_186}
    arms = [arm | {"parameters": sizes[arm["name"]]} for arm in MANIFEST["arms"][:2]]
    (table,) = search_tables(load_results(write_results(tmp_path / "made", TRIALS[:2], arms=arms)))
    assert "9.99 M" in shown(table)
    assert "36.6 M" in shown(table)


def test_the_files_hold_the_same_numbers(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "made")
    write_tables(folder, captured())
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
        ("manifest.json", without(MANIFEST, "scheduler"), "manifest.json' is damaged: it has no scheduler$"),
        ("manifest.json", with_arms_without("against"), "manifest.json' is damaged: one of its arms has no against$"),
        ("manifest.json", with_arms_without("epochs"), "manifest.json' is damaged: one of its arms has no epochs$"),
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
    (table,) = search_tables(
        load_results(write_results(tmp_path / "made", trials, arms=part(MANIFEST["arms"], "convnext", "mixup")))
    )
    assert table.frame["default"].tolist() == [50.0, 50.0]
    assert table.frame["best"].tolist() == [90.0, 50.0]


def test_arms_without_one_to_compare_with_still_have_a_table(tmp_path: Path) -> None:
    (table,) = search_tables(load_results(write_results(tmp_path / "made", arms=part(MANIFEST["arms"], "mixup"))))
    assert table.frame["best"].tolist() == [65.0]
    assert table.frame["difference"].isna().all()


def test_one_trial_an_arm_is_not_called_the_best_of_several(tmp_path: Path) -> None:
    results = load_results(write_results(tmp_path / "made", TRIALS[:3], trials=3))
    assert "best of several" not in search_tables(results)[0].caption


def test_failed_and_diverged_trials_stand_in_the_caption(tmp_path: Path) -> None:
    trials = [*TRIALS[:4], ("convnext", False, [0.1], 1.0, "error"), ("mixup", False, [0.0], 1.0, "diverged")]
    caption = search_tables(load_results(write_results(tmp_path / "made", trials)))[0].caption
    assert "FAILED: 1 of 6 trials." in caption
    assert "DIVERGED: 1 of 6 trials." in caption


def test_a_csv_says_that_there_is_no_test_fold(tmp_path: Path) -> None:
    results = load_results(write_results(tmp_path / "made", split=MANIFEST["split"] | {"test": None}))
    assert all("NO TEST FOLD" in as_csv(table) for table in search_tables(results))


def test_a_sweep_that_was_interrupted_before_its_first_epoch_still_has_tables(tmp_path: Path) -> None:
    tables = search_tables(load_results(write_results(tmp_path / "made", [])))
    assert len(tables) == 2
    assert tables[0].frame["best"].isna().all()


@pytest.mark.parametrize(
    ("added", "against"),
    [
        ([made_arm("convnext", "baseline")], "1d ConvNeXt"),
        ([made_arm("convnext", "baseline"), made_arm("tiny", "baseline", model="tiny")], "1d ConvNeXt, tiny"),
        ([made_arm("tiny", "baseline", model="tiny")], "tiny"),
    ],
)
def test_a_model_that_was_added_stands_beside_the_baseline_under_its_own_name(added: list, against: str) -> None:
    arms = [ARMS[0], *added]
    (part,) = make_parts(made_manifest(arms=arms), [arm["name"] for arm in arms])
    assert part.title == f"Baseline (HiFi-GAN discriminator) against {against}"
    assert part.members == [arm["name"] for arm in arms]
