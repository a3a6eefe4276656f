"""Recorded learning curves: which trials they are of, and that the file gives them back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.curves import ESC10, Curve, full_curves, read_curves, write_curves
from bench.curves import __main__ as command
from bench.made_sweep import write_sweep
from esc50tune.errors import UserError


def events(trial: int, arm: str, accuracies: list[float], reason: str | None = "finished") -> list[dict]:
    told = [{"event": "deal", "trial": trial, "arm": arm}]
    told += [{"event": "epoch", "trial": trial, "val_acc": one, "val_loss": 2 - one} for one in accuracies]
    return told + ([{"event": "end", "trial": trial, "arm": arm, "reason": reason}] if reason else [])


def test_curves_are_those_of_the_trials_that_ran_in_full():
    one, cut, other = events(0, "a", [0.25, 0.5]), events(1, "b", [0.5], "stopped"), events(2, "b", [0.75, 1.0])
    running = events(3, "a", [0.5], None)
    assert full_curves([*other, *cut, *running, *one]) == [
        Curve("a", 0, [0.25, 0.5], [1.75, 1.5]),
        Curve("b", 2, [0.75, 1.0], [1.25, 1.0]),
    ]


def test_a_log_without_full_trials_or_with_several_lengths_is_refused():
    with pytest.raises(UserError, match="no trial of this log ran in full"):
        full_curves(events(0, "a", [0.5], "stopped"))
    with pytest.raises(UserError, match="schedules of 1, 2 epochs"):
        full_curves([*events(0, "a", [0.5, 0.5]), *events(1, "b", [0.5])])


def test_the_file_gives_the_curves_back_by_arm(tmp_path: Path):
    curves = [Curve("b", 0, [0.5, 0.7125], [1.25, 0.1234]), Curve("a", 1, [0.0, 1.0], [2.0, 0.5])]
    curves.append(Curve("b", 2, [0.25, 0.3], [12.5, 3.00004]))
    write_curves(tmp_path / "curves.csv", curves)
    assert (tmp_path / "curves.csv").read_text().splitlines()[:2] == [
        "arm,trial,acc_1,loss_1,acc_2,loss_2",
        "b,0,0.5000,1.2500,0.7125,0.1234",
    ]
    rounded = curves[2]._replace(losses=[12.5, 3.0])
    assert read_curves(tmp_path / "curves.csv") == {"b": [curves[0], rounded], "a": [curves[1]]}


def test_the_command_converts_a_log(tmp_path: Path, monkeypatch, capsys):
    log, csv = write_sweep(tmp_path / "sweep", 10) / "events.jsonl", tmp_path / "curves.csv"
    monkeypatch.setattr("sys.argv", ["bench.curves", str(log), str(csv)])
    assert command.main() == 0
    assert "5 of 10 trials ran in full, 6 epochs each" in " ".join(capsys.readouterr().out.split())
    ended = [event for event in map(json.loads, log.read_text().splitlines()) if event.get("reason") == "finished"]
    assert {curve.trial for own in read_curves(csv).values() for curve in own} == {event["trial"] for event in ended}


def test_the_command_says_where_it_cannot_write(tmp_path: Path, monkeypatch):
    log = write_sweep(tmp_path / "sweep", 10) / "events.jsonl"
    monkeypatch.setattr("sys.argv", ["bench.curves", str(log), str(tmp_path / "none" / "curves.csv")])
    with pytest.raises(UserError, match=r"curves\.csv' cannot be written: No such file"):
        command.main()


def test_the_recorded_curves_are_whole_and_exact():
    recorded = read_curves(ESC10)
    assert len(recorded) == 8
    for curve in (curve for own in recorded.values() for curve in own):
        assert len(curve.accuracies) == len(curve.losses) == 60
        right = [80 * accuracy for accuracy in curve.accuracies]  # of 80 clips
        assert right == pytest.approx([round(clips) for clips in right], abs=1e-9)
    assert min(len(own) for own in recorded.values()) >= 2
    assert ESC10.stat().st_size < 150_000
