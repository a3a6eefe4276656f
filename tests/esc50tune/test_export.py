"""The ONNX file: the same logits, for any number of clips, or no file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from esc50tune import export
from esc50tune.data.clips import ClipSet
from esc50tune.data.dataset import Dataset, read_dataset
from esc50tune.errors import UserError
from esc50tune.trial import Trainer
from esc50tune.winner import onnx_file
from esc50tune.winner.chosen import choose
from esc50tune.winner.onnx_file import write_checked
from esc50tune.winner.predictor import load_predictor
from tests.conftest import SMALL, ended, write_dataset
from tests.esc50tune.trained import ABOUT, CLASSES, KINDS, train


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three clips a fold."""
    return read_dataset(write_dataset(tmp_path_factory.mktemp("few") / "tones", clips_a_fold=1))


@pytest.fixture(scope="module")
def trained(few: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trainer, ClipSet]:
    """A checkpoint, its trainer, and the clips of fold 5."""
    path = tmp_path_factory.mktemp("trained") / "arm.pt"
    return path, *train(few, SMALL, path)


def run(*line: object, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """Return a command line's exit code, and what it printed and complained of."""
    monkeypatch.setattr(sys, "argv", ["export", *map(str, line)])
    code = ended(export.main)
    told = capsys.readouterr()
    return code, told.out, told.err


def waves_of(rate: int, length: int) -> np.ndarray:
    """Return clips [5, 1, T] of other sounds than those that a file is checked on: tones that die away, and silence.

    Below them is noise of -60 dB: between pure tones, decibels are those of rounding alone, in torch as elsewhere.
    """
    t, rng = np.arange(length) / rate, np.random.default_rng(1)
    tones = [0.5 * np.sin(2 * np.pi * pitch * t) * np.exp(-9.0 * t) for pitch in (150, 310, 720, 1_900)]
    clips = [tone + rng.normal(0, 1e-3, length) for tone in tones]
    return np.stack([*clips, np.zeros(length)])[:, None].astype(np.float32)


def dimensions_of_convolutions(path: Path) -> set[int]:
    """Return how many dimensions the weights of convolutions have, where these are stored as they are."""
    graph = onnx.load(path).graph
    dimensions = {weight.name: len(weight.dims) for weight in graph.initializer}
    return {dimensions.get(node.input[1], 3) for node in graph.node if node.op_type == "Conv"}


@pytest.mark.parametrize(
    "kind",
    [
        *("baseline", "raw", "seed's form", "statistics", "baseline, statistics"),
        pytest.param("encodec", marks=pytest.mark.slow),
    ],
)
def test_the_file_gives_the_logits_of_the_trainer(kind: str, few: Dataset, tmp_path: Path) -> None:
    trainer, clips = train(few, KINDS[kind], tmp_path / "arm.pt")
    predictor = load_predictor(choose(tmp_path / "arm.pt", False))
    difference = write_checked(predictor, {}, tmp_path / "arm.onnx")
    assert 0.0 <= difference < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "arm.onnx")
    waves = waves_of(predictor.config.sample_rate, predictor.length)
    for part in (waves, waves[:1], waves[1:3]):
        (found,) = session.run(["logits"], {"waves": part})
        np.testing.assert_allclose(found, predictor(torch.from_numpy(part)), atol=1e-4)
    assert dimensions_of_convolutions(tmp_path / "arm.onnx") == {3}  # over time, not torch's detours on a CPU
    if predictor.config.feature != "encodec":  # whose clips are encoded already
        (found,) = session.run(["logits"], {"waves": clips.waves(range(len(clips))).numpy()})
        np.testing.assert_allclose(found, trainer.predict(clips), atol=1e-4)


def test_the_command_writes_one_file_that_tells_what_it_is(
    trained: tuple, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model.onnx"
    out.write_text("an older one")
    code, told, err = run(trained[0], out, capsys=capsys, monkeypatch=monkeypatch)
    assert (code, err) == (0, "")
    assert list(tmp_path.iterdir()) == [out]
    lines = told.splitlines()
    assert lines[0] == "model     mixup, the checkpoint that was named"
    assert lines[-2].endswith(" MB: waves to logits, [batch, 1, 2000], [batch, 3]")
    assert lines[-1].startswith("checked   8 random clips in onnxruntime: logits differ from torch's by ")
    session = onnxruntime.InferenceSession(out)
    facts = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
    assert {name: facts[name] for name in ABOUT} == ABOUT
    assert (facts["classes"], facts["sample_rate"], facts["clip_seconds"]) == (CLASSES, 8_000, 0.25)
    assert [(one.name, one.shape[1:]) for one in session.get_inputs()] == [("waves", [1, 2_000])]
    assert [(one.name, one.shape[1:]) for one in session.get_outputs()] == [("logits", [3])]


def test_a_file_that_computes_something_else_is_not_written(
    trained: tuple, few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(few, SMALL | {"seed": 1}, tmp_path / "other.pt")
    other, write, out = load_predictor(choose(tmp_path / "other.pt", False)), onnx_file.write, tmp_path / "out.onnx"
    monkeypatch.setattr(onnx_file, "write", lambda predictor, facts, path: write(other, facts, path))
    out.write_text("an older one")
    with pytest.raises(UserError, match=r"onnxruntime's logits differ from torch's by .*: no file is written"):
        write_checked(load_predictor(choose(trained[0], False)), {}, out)
    assert out.read_text() == "an older one"
    assert {path.name for path in tmp_path.iterdir()} == {"other.pt", "out.onnx"}


def test_a_full_disk_leaves_nothing_behind(trained: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(predictor: Any, facts: Any, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnx_file, "write", full)
    with pytest.raises(UserError, match=r"out.onnx' cannot be written: No space left on device"):
        write_checked(load_predictor(choose(trained[0], False)), {}, tmp_path / "out.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["{model}"], "required: OUT.onnx"),
        (["{model}", "{folder}"], "is a folder: name a file in it"),
        (["{model}", "{folder}/none/out.onnx"], "to write 'out.onnx' in"),
        (["{model}", "{folder}/" + 300 * "x"], "cannot be written"),
        (["{folder}", "{folder}/out.onnx"], "is no results folder"),
        (["{model}", "{folder}/out.onnx", "--opset", "9"], "unrecognized arguments: --opset 9"),
    ],
)
def test_bad_input_ends_with_2_and_one_sentence(
    line: list[str], words: str, trained: tuple, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = [part.format(model=trained[0], folder=tmp_path) for part in line]
    code, out, err = run(*filled, capsys=capsys, monkeypatch=monkeypatch)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert words in err
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(
    trained: tuple, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "onnxscript" else object())
    code, _, err = run(trained[0], tmp_path / "out.onnx", capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2
    assert err == "error: the package onnxscript is not installed: `pip install -r requirements.txt` brings it\n"
