"""The command that sweeps architectures, and the regularizers on one of them, end to end."""

from __future__ import annotations

import csv
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from analysis.load import Results, load_results
from tests.conftest import SMALL
from tests.sweeps.scripts import command, patched, run, run_here

# What the arms leave open; crops of the preset are longer than the clips.
SETTINGS = {knob: SMALL[knob] for knob in ("batch_size", "hifigan_channels", "convnext_width")} | {
    "convnext_depths": "1,1",
    "causal_kernel": 5,
    "crop_seconds": 0,
    "epochs": 2,
}
PAIRS = {
    "convnext-raw": "hifigan-raw",
    "convnext-logmel": "hifigan-logmel",
    "convnext-untrained": "hifigan-untrained",
    "causal-lm": "hifigan-encodec",
}


def line(script: str, data: Path, results: Path, *more: str) -> list[str]:
    """Return the command of a sweep of untrained encoders."""
    more = ("--encodec-weights", "untrained", "--no-dashboard", "--name", "made", *more)
    return command(data, results, *more, script=script, settings=SETTINGS)


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "tables" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def arms_that_predict_codes(results: Results) -> set[str]:
    return {event["arm"] for event in results.events if "val_loss_codes" in event}


@pytest.mark.slow
def test_architectures_are_compared_by_feature_and_untrained_encoders_are_marked(
    fresh_tones: Path, tmp_path: Path
) -> None:
    arms = [arm for pair in PAIRS.items() for arm in reversed(pair)]
    encoded = arms[4:]
    done = run(*line("architectures", fresh_tones, tmp_path, "--arms", ",".join(arms), "--num-samples", "9"))
    assert done.returncode == 0, done.stdout + done.stderr
    printed, results = " ".join(done.stdout.split()), load_results(tmp_path / "made")
    assert "1 for each of 8 arms, 8 of 9 in all;" in printed
    assert "hifigan-encodec is the same as hifigan-untrained here" in printed
    assert "against 1d ConvNeXt, by feature [* UNTRAINED ENCODER]" in printed
    assert [arm for arm in arms if f"{arm} *" in printed] == encoded
    assert f"UNTRAINED ENCODER: {', '.join(encoded)}: EnCodec with random weights" in printed

    manifest, trials = results.manifest, results.trials
    made = {arm["name"]: arm for arm in manifest["arms"]}
    assert list(made) == trials["arm"].tolist() == arms
    assert set(trials["reason"]) == {"finished"}
    assert (manifest["reference"], manifest["trials"]) == (None, 8)
    assert {name: arm["against"] for name, arm in made.items() if arm["against"]} == PAIRS
    assert [name for name in arms if made[name]["fixed"]["feature"] == "encodec"] == encoded
    assert {made[name]["fixed"]["encodec_weights"] for name in encoded} == {"untrained"}
    assert {made[name]["fixed"]["sample_rate"] for name in encoded} == {24_000}
    assert arms_that_predict_codes(results) == {"causal-lm"}

    rows = table(tmp_path / "made", "baseline-vs-convnext")
    assert [row["arm"] for row in rows] == arms
    assert [row["feature"] for row in rows] == [
        *["raw 44.1 kHz"] * 2,
        *["log-mel 128 bands 24 kHz"] * 2,
        *["EnCodec, untrained"] * 4,
    ]


@pytest.fixture(scope="module")
def on_codes(tones_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[CompletedProcess, Path]:
    """A sweep of regularizers on the language model of codes, one of which is broken; and its folder."""
    code = """
from esc50tune.regularizers.sam import SAMOptimizer
def broken(self, parameters):
    raise RuntimeError("a defect in the regularizer")
SAMOptimizer.climb = broken
"""
    results = tmp_path_factory.mktemp("codes")
    more = ["--base", "causal-lm", "--arms", "causal-lm,mixup,sam", "--num-samples", "6"]
    env = patched(results, code, after="sweeps.trainable")
    return run(*line("regularization", tones_folder, results, *more), env=env), results / "made"


@pytest.mark.slow
def test_regularizers_are_added_to_the_language_model_of_codes(on_codes: tuple[CompletedProcess, Path]) -> None:
    done, folder = on_codes
    printed = " ".join(done.stdout.split())
    assert "Regularization ablation: each arm against causal-lm" in printed
    assert "[UNTRAINED ENCODER]" in printed

    results = load_results(folder)
    manifest, trials = results.manifest, results.trials
    plain, mixup, _ = manifest["arms"]
    assert manifest["reference"] == "causal-lm"
    assert [(arm["name"], arm["against"]) for arm in (plain, mixup)] == [("causal-lm", None), ("mixup", "causal-lm")]
    assert [plain["fixed"][knob] for knob in ("model", "feature", "code_lm")] == ["causal", "encodec", 1.0]
    assert {knob: v for knob, v in mixup["fixed"].items() if v != plain["fixed"][knob]} == {"mixup": 0.4}
    assert (set(plain["space"]), set(mixup["space"])) == ({"lr"}, {"lr", "mixup"})
    assert trials["arm"].tolist() == ["causal-lm", "mixup", "sam"] * 2
    assert set(trials["reason"][trials["arm"] != "sam"]) <= {"finished", "stopped"}
    assert arms_that_predict_codes(results) == {"causal-lm", "mixup"}
    assert [row["arm"] for row in table(folder, "regularization-ablation")][:2] == ["causal-lm", "mixup"]


@pytest.mark.slow
def test_failed_trials_are_named_and_end_with_1(on_codes: tuple[CompletedProcess, Path]) -> None:
    done, folder = on_codes
    assert done.returncode == 1, done.stdout + done.stderr
    for number in (2, 5):
        assert f"FAILED: trial {number} (sam): RuntimeError: a defect in the regularizer" in done.stdout
    assert load_results(folder).trials["reason"].tolist().count("error") == 2


@pytest.mark.slow
def test_a_missing_weights_file_of_a_later_arm_ends_with_2_and_one_sentence(
    tones_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("ESC50TUNE_CACHE", str(tmp_path / "cache"))
    gone = str(tmp_path / "gone.th")
    more = ["--arms", "hifigan-raw,convnext-encodec", "--encodec-weights", gone]
    assert run_here(*command(tones_folder, tmp_path / "results", *more, script="architectures", settings=SETTINGS)) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: --encodec-weights: no file '{gone}'")
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
