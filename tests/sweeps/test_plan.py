"""Every command line that cannot work is refused before anything starts, in one sentence."""

from __future__ import annotations

import io
import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from rich.console import Console

from esc50tune.errors import UserError
from sweeps.cli import make_parser
from sweeps.folder import check_disk
from sweeps.opening import print_plan
from sweeps.plan import Plan, make_plan
from sweeps.resources import Machine, Share, share_machines

ARMS = ("baseline", "convnext", "dropout")
LAPTOP = Machine(cpus=2, gpus=0)


def plan_for(
    folder: Path, tmp_path: Path, *more: str, machine: Machine = LAPTOP, script: str = "regularization"
) -> Plan:
    short = ["--set", "convnext_depths=1,1"]  # the clips have 13 frames
    line = ["--data", str(folder), "--results", str(tmp_path / "results"), "--num-samples", "6", *short, *more]
    return make_plan(make_parser(script, "", ARMS).parse_args(line), [machine])


def printed(plan: Plan) -> str:
    console = Console(file=io.StringIO())
    print_plan(plan, console)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--num-samples", "2"], ["--num-samples 2", "3 arms", "the smallest is 3"]),
        (["--num-samples", "0"], ["--num-samples", "at least 1"]),
        (["--num-samples", "many"], ["--num-samples", "'many'"]),
        (["--arms", "baseline,mixpu"], ["'mixpu'", "did you mean 'mixup'"]),
        (["--arms", ""], ["no arm is called ''"]),
        (["--preset", "smal"], ["'smal'", "did you mean 'small'"]),
        (["--set", "drpout=0.1"], ["'drpout'", "did you mean 'dropout'"]),
        (["--set", "dropout"], ["key=value", "'dropout'"]),
        (["--set", "lr=-1"], ["lr", "greater than 0"]),
        (["--set", "lr=fast"], ["lr", "'fast'", "number"]),
        (["--set", "epochs=0"], ["epochs", "greater than or equal to 1"]),
        (["--set", "convnext_kernel=4"], ["convnext_kernel", "odd"]),
        (["--set", "seed=3"], ["--set seed=3", "use --seed"]),
        (["--feature", "chroma"], ["'chroma'", "logmel"]),
        (
            ["--set", "convnext_depths=1,1,1,1"],
            [
                "clips of 0.25 s are too short",
                "'convnext'",
                "'logmel'",
                "--set clip_seconds=0.4",
                "or lower convnext_stem_kernel",
            ],
        ),
        (["--test-fold", "9"], ["--test-fold 9", "1, 2, 3, 4, 5"]),
        (["--test-fold", "4"], ["--test-fold", "--val-fold", "4"]),
        (["--name", "../x"], ["--name '../x'"]),
        (["--name", "x" * 101], ["--name 'xxx", "at most 100 letters"]),
        (["--results", "~stranger/x"], ["--results '~stranger/x'", "no user has that home"]),
        (
            ["--base", "convnext-encodec", "--encodec-weights", "~stranger/x"],
            ["--encodec-weights '~stranger/x'", "no user has that home"],
        ),
        (["--gpus-per-trial", "1"], ["--gpus-per-trial 1", "no GPU"]),
        (["--set", "encodec_weights=untrained"], ["--set encodec_weights=untrained", "--encodec-weights"]),
        (["--encodec-weights", "untrained"], ["no arm takes", "leave out --encodec-weights untrained"]),
        (["--set", "encodec_bandwidth=5"], ["encodec_bandwidth = ", "one of 1.5, 3, 6, 12, 24"]),
        (["--set", "convnext_depths=1,0"], ["convnext_depths", "greater than or equal to 1"]),
        (["--base", "convnext-untrained", "--encodec-weights", "/nowhere"], ["no arm takes", "/nowhere"]),
        (["--base", "nope", "--feature", "raw"], ["no base is called 'nope'"]),
        (["--feature", "raw", "--set", "feature=logmel"], ["--feature raw", "--set feature=logmel"]),
        (["--preset", "seed", "--arms", "baseline,dropout"], ["arm 'dropout'", "same as 'convnext'"]),
        (["--base", "convnext-raw", "--feature", "raw"], ["--base convnext-raw", "--feature raw"]),
        (["--base", "convnext-encodec", "--feature", "logmel"], ["--base convnext-encodec", "--feature logmel"]),
        (["--base", "causal-lm", "--set", "feature=logmel"], ["--set feature=logmel contradicts arm"]),
        (["--base", "convnext-raw24", "--set", "sample_rate=8000"], ["--set sample_rate=8000 contradicts arm"]),
        (["--base", "convnext-encodec", "--encodec-weights", "/nowhere/w.th"], ["--encodec-weights", "/nowhere/w.th"]),
        (["--gpus-per-trial", "-1"], ["--gpus-per-trial -1"]),
        (["--preset", "seed", "--test-fold", "1"], ["--test-fold 1", "'seed'", "no test fold"]),
        (["--nonsense"], ["--nonsense"]),
        (["--search", "grid"], ["--search", "grid"]),
        (["--seed=--5"], ["--seed", "'--5'", "whole number"]),
        (["--arms", "convnext,dropout", "--set", "dropout=0.1"], ["arm 'dropout'", "same as 'convnext'"]),
        (["--arms", "convnext,dropout", "--preset", "seed"], ["arm 'dropout'", "same as 'convnext'"]),
        (
            ["--base", "causal-lm", "--arms", "causal-lm,mixup,sam", "--preset", "seed"],
            ["arm 'sam'", "same as 'causal-lm'", "the preset"],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value and value[0].startswith("--") else "",
)
def test_a_bad_command_line_is_refused(tones_folder: Path, tmp_path: Path, more: list[str], words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        plan_for(tones_folder, tmp_path, *more)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "results").exists()


def test_bfloat16_is_refused_where_the_processor_would_emulate_it(
    tones_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for found in ({"avx512_bf16": True}, {"avx512_bf16": False, "amx_bf16": True}, {"bf16": True}):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found)
        plan = plan_for(tones_folder, tmp_path, "--set", "precision=bf16")
        assert {arm["fixed"]["precision"] for arm in plan.manifest()["arms"]} == {"bf16"}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
    with pytest.raises(UserError, match="no bfloat16 instructions"):
        plan_for(tones_folder, tmp_path, "--set", "precision=bf16")
    assert plan_for(tones_folder, tmp_path).arms[0].fixed["precision"] == "auto"


@pytest.mark.parametrize("arms", ["hifigan-raw,convnext-encodec", "hifigan-logmel,convnext-untrained,causal-lm"])
@pytest.mark.parametrize("content", [None, b"no weights"], ids=["missing", "junk"])
def test_a_bad_file_that_any_arm_needs_is_refused_before_clips_are_decoded(
    tones_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arms: str, content: bytes | None
) -> None:
    monkeypatch.setenv("ESC50TUNE_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "mine.th"
    if content:
        file.write_bytes(content)
    more = ["--arms", arms, "--encodec-weights", str(file), "--set", "crop_seconds=0"]
    with pytest.raises(UserError, match=r"mine\.th'") as error:
        plan_for(tones_folder, tmp_path, *more, script="architectures")
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ([file.name] if content else [])


def test_an_existing_name_is_refused(tones_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "results" / "mine").mkdir(parents=True)
    with pytest.raises(UserError, match="exists already; choose another --name"):
        plan_for(tones_folder, tmp_path, "--name", "mine")


def test_a_disk_without_room_is_refused(tones_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan_for(tones_folder, tmp_path)  # so that the clips are decoded already
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1_000))
    with pytest.raises(UserError, match=r"checkpoints need \d+ MB, but .* has 0 MB free"):
        plan_for(tones_folder, tmp_path)


def test_checkpoints_that_are_there_need_no_room(
    tones_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_for(tones_folder, tmp_path, "--name", "old")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1_000))
    (plan.folder / "checkpoints").mkdir(parents=True)
    there = plan.folder / "checkpoints" / "trial-0000.pt"
    there.write_bytes(bytes(plan.checkpoint_bytes - 1_000))
    check_disk(plan.folder, plan.checkpoint_bytes)
    there.write_bytes(bytes(plan.checkpoint_bytes - 1_001))
    with pytest.raises(UserError, match="checkpoints need 0 MB"):
        check_disk(plan.folder, plan.checkpoint_bytes)


def test_averaged_weights_are_a_fourth_part_of_a_checkpoint(tones_folder: Path, tmp_path: Path) -> None:
    plain, ema = (plan_for(tones_folder, tmp_path, "--arms", arm, "--num-samples", "1") for arm in ("convnext", "ema"))
    assert plain.parameters["convnext"] == ema.parameters["ema"]
    assert ema.checkpoint_bytes == 16 * ema.parameters["ema"] == plain.checkpoint_bytes * 4 / 3


def test_a_remainder_is_not_run_and_said(tones_folder: Path, tmp_path: Path) -> None:
    plan = plan_for(tones_folder, tmp_path, "--num-samples", "8")
    assert plan.trials == 6
    assert "\ntrials    2 for each of 3 arms, 6 of 8 in all; search" in printed(plan)


def test_one_arm_is_no_plural(tones_folder: Path, tmp_path: Path) -> None:
    plan = plan_for(tones_folder, tmp_path, "--num-samples", "2", "--arms", "convnext")
    assert "\ntrials    2 for one arm; search" in printed(plan)


def test_the_plan_follows_the_data(tones_folder: Path, tmp_path: Path) -> None:
    plan = plan_for(tones_folder, tmp_path)
    assert plan.arms[0].fixed["clip_seconds"] == 0.25
    assert (plan.split.train, plan.split.val, plan.split.test) == ((1, 2, 3), 4, 5)
    manifest = json.loads(json.dumps(plan.manifest(), allow_nan=False))
    assert manifest["data"]["classes"] == ["low", "middle", "high"]
    assert manifest["split"]["train_clips"] == 36
    assert manifest["split"]["val_clips"] == 12


def test_what_the_command_line_changes_of_a_preset_is_said(tones_folder: Path, tmp_path: Path) -> None:
    plan = plan_for(tones_folder, tmp_path, "--set", "epochs=7")
    assert plan.manifest()["preset"]["says"].endswith("; but convnext_depths=[1, 1], epochs=7")


def test_what_a_presets_words_name_already_is_not_said_twice(tones_folder: Path, tmp_path: Path) -> None:
    plan = plan_for(tones_folder, tmp_path, "--set", "epochs=40")
    assert plan.manifest()["preset"]["says"].endswith("; 40 epochs; but convnext_depths=[1, 1]")


def test_the_seed_preset_selects_on_fold_5_and_says_that_it_has_no_test_fold(
    tones_folder: Path, tmp_path: Path
) -> None:
    plan = plan_for(tones_folder, tmp_path, "--preset", "seed", "--set", "sample_rate=8000", "--set", "clip_seconds=1")
    assert (plan.split.train, plan.split.val, plan.split.test) == ((1, 2, 3, 4), 5, None)
    assert "NO TEST FOLD" in printed(plan)


def test_default_arms_that_would_equal_the_plain_one_are_not_run_and_said(tones_folder: Path, tmp_path: Path) -> None:
    plan = plan_for(tones_folder, tmp_path, "--set", "dropout=0.1")
    assert [arm.name for arm in plan.arms] == ["baseline", "convnext"]
    assert "not run: dropout, which every arm has on here" in printed(plan)


def test_default_arms_that_the_seed_preset_has_on_are_not_run(tones_folder: Path, tmp_path: Path) -> None:
    plan = plan_for(tones_folder, tmp_path, "--preset", "seed", "--set", "sample_rate=8000", "--set", "clip_seconds=1")
    assert [arm.name for arm in plan.arms] == ["baseline", "convnext"]
    assert plan.dropped == ["dropout"]


def test_a_base_takes_the_place_of_the_plain_arm(tones_folder: Path, tmp_path: Path) -> None:
    plan = plan_for(tones_folder, tmp_path, "--base", "convnext-logmel")
    manifest = plan.manifest()
    assert manifest["reference"] == "convnext-logmel"
    assert {arm["name"]: arm["against"] for arm in manifest["arms"]} == {
        "baseline": None,
        "convnext-logmel": "baseline",
        "dropout": "convnext-logmel",
    }
    shapes = ("feature", "sample_rate", "logmel_bands", "logmel_frames_per_second")
    assert {tuple(arm["fixed"][knob] for knob in shapes) for arm in manifest["arms"]} == {("logmel", 24_000, 128, 75)}
    assert [arm["fixed"]["dropout"] for arm in manifest["arms"]] == [0.0, 0.0, 0.1]


def test_the_default_preset_follows_the_machine(tones_folder: Path, tmp_path: Path) -> None:
    settings = ["--set", "sample_rate=8000", "--set", "convnext_width=8", "--set", "hifigan_channels=4"]
    assert plan_for(tones_folder, tmp_path).preset.name == "small"
    assert plan_for(tones_folder, tmp_path, *settings, machine=Machine(8, 1)).preset.name == "full"


@pytest.mark.parametrize(
    ("machines", "gpus", "at_most", "share"),
    [
        ([Machine(2, 0)], None, None, Share(1, 0.0, 2)),
        ([Machine(8, 0)], None, 3, Share(1, 0.0, 3)),
        ([Machine(8, 1)], None, None, Share(8, 1.0, 1)),
        ([Machine(8, 1)], 0.25, None, Share(2, 0.25, 4)),
        ([Machine(64, 8)], 0.5, None, Share(4, 0.5, 16)),
        ([Machine(2, 1)], 0.1, None, Share(1, 0.1, 2)),
        ([Machine(8, 1)], 0, None, Share(1, 0.0, 8)),
        ([Machine(8, 1)], 1 / 3, None, Share(2, 1 / 3, 3)),
        ([Machine(32, 0), Machine(8, 1)], None, None, Share(8, 1.0, 1)),  # a trial runs on one node
        ([Machine(16, 2), Machine(8, 1)], 0.5, None, Share(4, 0.5, 6)),
        ([Machine(0, 0), Machine(4, 0)], None, None, Share(1, 0.0, 4)),  # a head that takes no trials
    ],
)
def test_machines_are_shared_among_trials(machines: list[Machine], gpus: float, at_most: int, share: Share) -> None:
    assert share_machines(machines, gpus, at_most) == share


@pytest.mark.parametrize("gpus", [-0.5, 1.5, 2, float("nan"), float("inf")])
def test_a_trial_uses_no_more_than_one_gpu(gpus: float) -> None:
    with pytest.raises(UserError, match="must be from 0 to 1"):
        share_machines([Machine(8, 8)], gpus, None)


def test_the_manifest_says_which_regularizers_an_arm_has_on(tones_folder: Path, tmp_path: Path) -> None:
    arms = plan_for(tones_folder, tmp_path, "--arms", "convnext,dropout,weight-decay", "--set", "mixup=0.4").manifest()[
        "arms"
    ]
    assert [(arm["name"], arm["on"]) for arm in arms] == [
        ("convnext", ["mixup"]),
        ("dropout", ["mixup", "dropout"]),
        ("weight-decay", ["mixup"]),
    ]
