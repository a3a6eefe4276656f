"""What TensorBoard reads of a sweep, by its own reader."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from analysis.files import read_events
from sweeps.console import Console
from sweeps.driver import Driver
from sweeps.events import FILE
from sweeps.tensorboard_log import TensorBoardLog
from tests.sweeps.conftest import Cut
from tests.sweeps.test_wandb import EPOCHS, Sweep, result

METRICS = {
    "loss": "train_loss",
    "eval_loss": "val_loss",
    "eval_acc": "val_acc",
    "train_acc": "train_acc",
    "eval_codes": "val_loss_codes",
    "eval_acc_codes": "val_acc_codes",
    "train_acc_codes": "train_acc_codes",
}


def read(run: Path) -> tuple[dict[str, list[tuple[int, float]]], dict[str, object]]:
    """Return a run's scalars, (step, value) for each by name, and its hyperparameters."""
    found = EventAccumulator(str(run)).Reload()
    scalars = {tag: [(point.step, point.value) for point in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    told = HParamsPluginData.FromString(found.PluginTagToContent("hparams")["_hparams_/session_start_info"])
    knobs = told.session_start_info.hparams
    return scalars, {name: getattr(knobs[name], knobs[name].WhichOneof("kind")) for name in knobs}


def runs(folder: Path) -> dict[str, Path]:
    """Return the runs as TensorBoard calls them: by the path of the folder that holds their only file."""
    root = folder / "tensorboard"
    return {path.parent.relative_to(root).as_posix(): path.parent for path in root.rglob("*tfevents*")}


def logged(folder: Path, metric: str) -> dict[int, list[tuple[int, float]]]:
    """Return what the event log has of a metric, by trial."""
    told: dict[int, list] = {}
    for event in read_events(folder / FILE):
        if event["event"] == "epoch" and event.get(METRICS[metric]) is not None:
            told.setdefault(event["trial"], []).append((event["epoch"], pytest.approx(event[METRICS[metric]])))
    return told


def watch(driver: Driver, folder: Path, said: io.StringIO | None = None) -> TensorBoardLog:
    log = TensorBoardLog(folder, driver, Console(file=said or io.StringIO(), width=300))
    driver.log.listeners.append(log.on_event)
    return log


def test_each_trial_is_a_run_below_its_arm_with_the_studys_metrics_and_every_knob(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "first")
    watch(sweep.driver, sweep.folder)
    sweep.run("off")
    found = runs(sweep.folder)
    assert set(found) == {"convnext/0000", "mixup/0001"}
    for number, run in enumerate(found[name] for name in sorted(found)):
        scalars, knobs = read(run)
        assert set(scalars) == {"loss", "eval_loss", "eval_acc", "train_acc"} | (
            {"eval_codes", "eval_acc_codes", "train_acc_codes"} if number else set()
        )
        assert scalars["eval_loss"] == [(1, 1.0), (3, 1.0), (4, 1.0)]  # that of epoch 2 is not finite
        for metric, points in scalars.items():
            assert points == logged(sweep.folder, metric)[number]
        config = sweep.driver.state.trials[number].config
        assert knobs["arm"] == sweep.driver.state.trials[number].arm
        assert knobs["lr"] == config["lr"] and knobs["model"] == config["model"]
        assert set(knobs) == {"arm", *config}


def test_killed_and_gone_on_with_no_step_is_doubled_or_missing(tmp_path: Path) -> None:
    first = Sweep(tmp_path / "first", total=4)
    watch(first.driver, first.folder)
    first.run("off", epochs=EPOCHS + 1)
    with (runs(first.folder)["mixup/0001"] / "events.out.tfevents.0").open("ab") as file:
        file.write(b"half a record")  # killed within a write
    again = Sweep(tmp_path / "first", total=4)
    again.driver.record(1, result(1, 2))  # ... and between the log's write and this one's
    watch(again.driver, again.folder)
    again.run("off")
    found = runs(again.folder)
    assert sorted(found) == ["convnext/0000", "convnext/0002", "mixup/0001", "mixup/0003"]
    for name, run in found.items():
        assert [step for step, _ in read(run)[0]["eval_acc"]] == [1, 2, 3, 4], name


def test_a_tensorboard_that_has_a_run_open_reads_on_after_the_sweep_was_resumed(tmp_path: Path) -> None:
    first = Sweep(tmp_path / "first")
    watch(first.driver, first.folder)
    first.run("off", epochs=2)
    reader = EventAccumulator(str(runs(first.folder)["convnext/0000"])).Reload()
    assert [point.step for point in reader.Scalars("eval_acc")] == [1, 2]
    again = Sweep(tmp_path / "first")
    watch(again.driver, again.folder)
    again.run("off")
    assert [point.step for point in reader.Reload().Scalars("eval_acc")] == [1, 2, 3, 4]


def test_where_nothing_can_be_written_it_is_said_once_and_the_sweep_goes_on(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "first")
    (sweep.folder / "tensorboard").write_text("in the way")
    watch(sweep.driver, sweep.folder, sweep.said)
    sweep.run("off")
    assert sweep.reasons == ["finished"] * 2
    (line,) = sweep.lines
    assert "TensorBoard's files cannot be written (" in line and line.endswith("the sweep goes on without them")


@pytest.mark.slow
def test_a_sweep_that_was_killed_and_interrupted_has_each_epoch_once(cut: Cut) -> None:
    found = {int(name.partition("/")[2]): run for name, run in runs(cut.folder).items()}
    assert {number: read(run)[0]["eval_acc"] for number, run in found.items()} == logged(cut.folder, "eval_acc")
