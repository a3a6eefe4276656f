"""`--wandb`: what wandb gets, and that a sweep neither fails nor waits whatever becomes of it."""

from __future__ import annotations

import io
import json
import struct
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analysis.files import read_events
from sweeps import wandb_log
from sweeps.arms import make_arms
from sweeps.console import Console
from sweeps.driver import Driver
from sweeps.events import FILE, EventLog
from sweeps.failure import Failure
from sweeps.presets import PRESETS
from sweeps.state import SweepState
from sweeps.studies import regularization
from sweeps.wandb_log import WandbLog, brief, logged_to_wandb, run_id
from tests.sweeps.conftest import Cut, Whole

ARMS = ["convnext", "mixup"]
EPOCHS = 4
MANIFEST = {"name": "first", "created": "2025-01-01T00:00:00+00:00"}
KEY = "5ecre7" * 8
CODES = {"train_loss_codes": 6.5, "train_acc_codes": 0.25, "val_loss_codes": 6.0, "val_acc_codes": 0.125}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, no network, and everything that the log puts into the environment is taken back."""
    for name in (*wandb_log.ENVIRONMENT, "WANDB_CACHE_DIR", "WANDB_API_KEY"):
        monkeypatch.setenv(name, "")
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nobody listens there


@dataclass
class Sweep:
    """A sweep without Ray in `folder`, and what it says."""

    folder: Path
    total: int = 2
    said: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        arms = make_arms(regularization(), ARMS, PRESETS["small"], {}, {"epochs": EPOCHS})
        state = SweepState(dict.fromkeys(ARMS, EPOCHS), scheduler="none")
        self.driver = Driver(arms, self.total, "sobol", 0, EventLog(self.folder, state.apply), state)

    def run(self, mode: str, epochs: float = float("inf")) -> None:
        """Run what is left, at most so many epochs."""
        with logged_to_wandb(mode, self.folder, MANIFEST, self.driver, Console(file=self.said, width=300)):
            while (trial := self.driver.deal()) is not None and epochs:
                while epochs:
                    epochs -= 1
                    if not self.driver.record(trial.number, result(trial.number, len(trial.epochs) + 1)):
                        break
        self.driver.log.close()

    @property
    def lines(self) -> list[str]:
        return self.said.getvalue().splitlines()

    @property
    def reasons(self) -> list[str | None]:
        return [trial.reason for trial in self.driver.state.trials.values()]


def result(number: int, epoch: int) -> dict[str, Any]:
    told = {"train_acc": 0.5, "train_loss": 2.0 / epoch, "val_loss": None if epoch == 2 else 1.0, "lr": 1e-3}
    told |= {"epoch": epoch, "val_acc": epoch / 8, "seconds": 0.1, "diverged": False}
    return told | (CODES if number == 1 else {})


@dataclass
class Logged:
    """What a file of wandb's holds."""

    id: str
    about: dict[str, Any]
    config: dict[str, Any]
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None


def records(path: Path) -> Iterator[bytes]:
    """Yield the records of a file of wandb's, which is a log of LevelDB's with 7 bytes before it.

    Blocks of 32 KiB hold pieces of records: checksum, length and kind (1 whole, 2 first, 3 middle, 4 last), the bytes.
    """
    content, at, record = path.read_bytes(), 7, b""
    assert content.startswith(b":W&B")
    while at + 7 <= len(content):
        left = 32_768 - at % 32_768
        if left < 7:  # no room for a piece: padding
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, at)
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


def read(path: Path) -> Logged:
    from wandb.proto.wandb_internal_pb2 import Record

    def plain(items: Any) -> dict[str, Any]:
        return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}

    logged = None
    for content in records(path):
        record = Record.FromString(content)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            about = {"project": record.run.project, "group": record.run.run_group, "name": record.run.display_name}
            about |= {"tags": list(record.run.tags), "resume": record.run.resume}
            about |= {"job_type": record.run.job_type}
            logged = Logged(record.run.run_id, about, plain(record.run.config.update))
        elif kind == "config":
            logged.config |= plain(record.config.update)
        elif kind == "history":
            items = plain(record.history.item)
            logged.history.append(
                {name: value for name, value in items.items() if name not in ("_runtime", "_timestamp")}
            )
        elif kind == "summary":
            logged.summary |= plain(record.summary.update)
        elif kind == "exit":
            logged.exit_code = record.exit.exit_code
    return logged


def logged(folder: Path) -> list[Logged]:
    """Read all files that `wandb sync` would upload, in the order in which they were ended."""
    return [
        read(path) for path in sorted(folder.glob("wandb/offline-*/*.wandb"), key=lambda path: path.stat().st_mtime)
    ]


def test_wandb_gets_the_studys_metrics_the_configuration_and_the_end(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "first")
    sweep.run("offline")
    runs = {logged.config["trial"]: logged for logged in logged(sweep.folder)}
    assert set(runs) == {0, 1}
    for number, trial in sweep.driver.state.trials.items():
        got, codes = (
            runs[number],
            {"eval_codes": 6.0, "eval_acc_codes": 0.125, "train_acc_codes": 0.25} if number else {},
        )
        assert got.id == run_id(MANIFEST, number)
        assert got.about["project"] == "esc50tune" and got.about["group"] == "first" and got.about["resume"]
        assert got.about["name"] == f"{trial.arm}-{number:04}" and got.about["tags"] == [trial.arm]
        assert {name: got.config[name] for name in trial.config} == json.loads(json.dumps(trial.config))
        assert got.config["arm"] == trial.arm
        assert got.history == [
            {"_step": epoch, "loss": 2.0 / epoch, "eval_acc": epoch / 8, "train_acc": 0.5, **codes}
            | ({} if epoch == 2 else {"eval_loss": 1.0})
            for epoch in range(1, EPOCHS + 1)
        ]
        assert got.summary["reason"] == "finished"
        assert got.exit_code == 0
    assert [line for line in sweep.lines if f"wandb sync {sweep.folder}/wandb" in line] == sweep.lines
    assert len(sweep.lines) == 1


def test_a_failed_trial_and_a_second_try_show(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "first", total=2)
    with logged_to_wandb("offline", sweep.folder, MANIFEST, sweep.driver, Console(file=sweep.said)):
        number = sweep.driver.deal().number
        sweep.driver.record(number, result(number, 1))
        sweep.driver.fail(number, Failure("memory", "out of memory"))
        sweep.driver.deal()
        sweep.driver.fail(number, Failure("error", "RuntimeError: boom"))
    (got,) = logged(sweep.folder)
    assert (got.config["batch_parts"], got.summary["reason"], got.exit_code) == (2, "error", 1)
    assert "boom" not in str(got)


def test_a_resumed_sweep_goes_on_with_the_same_runs_and_logs_no_epoch_twice(tmp_path: Path) -> None:
    Sweep(tmp_path / "first").run("offline", epochs=EPOCHS + 2)
    Sweep(tmp_path / "first").run("offline")
    first, cut, rest = logged(tmp_path / "first")
    assert (first.id, cut.id, rest.id) == tuple(run_id(MANIFEST, number) for number in (0, 1, 1))
    assert [point["_step"] for point in cut.history + rest.history] == [1, 2, 3, 4]
    assert (cut.summary.get("reason"), rest.summary["reason"]) == (None, "finished")
    assert run_id(MANIFEST | {"created": "later"}, 0) != first.id


def test_without_a_key_it_logs_offline_and_says_so_once(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "first")
    sweep.run("online")
    assert sweep.reasons == ["finished"] * 2
    assert [len(run.history) for run in logged(sweep.folder)] == [EPOCHS] * 2
    (line,) = sweep.lines
    assert "no key" in line and f"wandb sync {sweep.folder}/wandb" in line


def test_out_of_reach_it_logs_offline_and_the_key_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setitem(wandb_log.SETTINGS, "init_timeout", 1)
    sweep = Sweep(tmp_path / "first")
    sweep.run("online")
    assert [len(run.history) for run in logged(sweep.folder)] == [EPOCHS] * 2
    (line,) = sweep.lines
    assert "logs offline" in line and "wandb sync" in line
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in files)
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path
    assert not [path for path in files if not path.is_relative_to(sweep.folder)]


class Fake:
    """Stands in for wandb.

    Attributes:
        faults: what a call does instead, by its name: login, init, log, finish.
        calls: what was called, in order.
    """

    def __init__(self, folder: Path, **faults: Any) -> None:
        self.folder, self.faults = folder, faults
        self.calls: list[tuple[str, Any]] = []

    def call(self, name: str, said: Any = None) -> None:
        self.calls.append((name, said))
        if name in self.faults:
            self.faults[name]()

    def login(self, prompt: bool, verify: bool) -> bool:
        assert not prompt
        self.call("login")
        return True

    def init(self, mode: str, **about: Any) -> SimpleNamespace:
        if mode == "online":
            self.call("init", about)
        at = self.folder / "wandb" / f"{'offline-' * (mode == 'offline')}run-{len(self.calls)}-{about['id']}"
        at.mkdir(parents=True)
        self.calls.append((mode, about["id"]))
        return SimpleNamespace(
            log=lambda metrics, step, commit: self.call("log", (mode, step)),
            finish=lambda exit_code: self.call("finish" if mode == "online" else "finish offline"),
            summary={},
            project_url="http://wandb.test/esc50tune",
        )

    def teardown(self, exit_code: int) -> None:
        self.call("teardown")

    def of(self, name: str) -> list[Any]:
        return [said for called, said in self.calls if called == name]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake = Fake(tmp_path / "first")
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


def failing(times: Iterator[bool], error: BaseException) -> Any:
    """Return a call that raises `error` whenever `times` says so."""

    def call() -> None:
        if next(times, False):
            raise error

    return call


def test_off_it_is_not_even_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    sweep = Sweep(tmp_path / "first")
    sweep.run("off")
    assert (sweep.reasons, sweep.lines) == (["finished"] * 2, [])


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_an_installation_that_is_broken_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    (tmp_path / "wandb.py").write_text(f"raise RuntimeError('half installed; {KEY}')")
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    sweep = Sweep(tmp_path / "first")
    sweep.run(mode)
    assert sweep.reasons == ["finished"] * 2
    (line,) = sweep.lines
    assert "cannot be imported (RuntimeError: half installed; ***): the sweep goes on" in line


@pytest.mark.parametrize("error", [OSError("the disk is full"), SystemExit(1), ValueError()])
def test_an_error_in_mid_run_ends_the_logging_alone(tmp_path: Path, fake: Fake, error: BaseException) -> None:
    fake.faults["log"] = failing(iter([False, False, True]), error)
    sweep = Sweep(tmp_path / "first")
    sweep.run("offline")
    assert sweep.reasons == ["finished"] * 2
    (line,) = sweep.lines
    assert f"failed ({brief(error)}): the sweep goes on without it; to upload what is there: wandb sync" in line
    assert len(fake.of("log")) == 3 and fake.calls[-1] == ("teardown", None)


def test_where_no_run_can_be_begun_it_logs_offline(tmp_path: Path, fake: Fake) -> None:
    fake.faults["init"] = failing(iter([False, True]), ConnectionError("no route"))
    sweep = Sweep(tmp_path / "first", total=4)
    sweep.run("online")
    assert sweep.reasons == ["finished"] * 4
    assert fake.of("log") == [("online", epoch) for epoch in range(1, 5)] + 3 * [("offline", n) for n in range(1, 5)]
    first, second = sweep.lines
    assert first == "wandb     http://wandb.test/esc50tune"
    assert "cannot log online (ConnectionError: no route)" in second and "wandb sync" in second


def test_where_a_run_cannot_be_uploaded_the_next_ones_are_logged_offline(tmp_path: Path, fake: Fake) -> None:
    fake.faults["finish"] = failing(iter([True]), TimeoutError())
    sweep = Sweep(tmp_path / "first")
    sweep.run("online")
    begun = [called for called in fake.calls if called[0] in ("online", "offline")]
    assert begun == [("online", run_id(MANIFEST, 0)), ("offline", run_id(MANIFEST, 1))]
    assert "could not upload a run" in sweep.lines[-1]
    assert sweep.lines[-1].endswith(f"wandb sync --include-online {sweep.folder}/wandb")


def test_stopped_in_the_web_page_the_sweep_goes_on(tmp_path: Path, fake: Fake) -> None:
    sweep = Sweep(tmp_path / "first", total=1)
    log = WandbLog("online", sweep.folder, MANIFEST, sweep.driver.state, Console(file=sweep.said, width=300))
    fake.faults["log"] = lambda: fake.of("init")[0]["settings"]["stop_fn"]()
    sweep.driver.log.listeners.append(log.on_event)
    sweep.run("off")
    log.close()
    assert fake.of("log") == [("online", 1), *(("offline", epoch) for epoch in range(2, 5))]
    assert [called for called in fake.calls if called[0] in ("online", "offline")] == [
        (mode, run_id(MANIFEST, 0)) for mode in ("online", "offline")
    ]
    assert "stopped a run" in sweep.lines[-1]


@pytest.mark.parametrize("call", ["login", "init", "log", "finish", "teardown"])
def test_calls_that_never_return_delay_nothing(
    tmp_path: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    released = threading.Event()
    fake.faults[call] = released.wait
    monkeypatch.setattr(wandb_log, "CLOSE_SECONDS", 0.2)
    sweep = Sweep(tmp_path / "first")
    sweep.run("online")  # or it would wait for what is released below
    assert sweep.reasons == ["finished"] * 2
    assert "not done 0.2 s after the sweep" in sweep.lines[-1]
    released.set()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError(), "ValueError: "),
        (ValueError(f"bad key {KEY}\nmore"), "ValueError: bad key ***"),
        (ValueError("proxy http://me:secret@proxy:3128/ refuses"), "ValueError: proxy http://***proxy:3128/ refuses"),
    ],
)
def test_what_is_said_of_an_error_is_short_and_holds_no_secret(error: Exception, text: str) -> None:
    assert brief(error) == text


def of_each(events: list[dict[str, Any]], metric: str) -> dict[int, list]:
    """Return each trial's values of a metric, an epoch each."""
    told: dict[int, list] = {}
    for event in events:
        if event["event"] == "epoch":
            told.setdefault(event["trial"], []).append(event[metric])
    return told


@pytest.mark.slow
def test_the_scripts_log_to_wandb(whole: Whole) -> None:
    assert whole.printed.count(f"wandb sync {whole.folder}/wandb") == 1
    manifest = json.loads((whole.folder / "manifest.json").read_text())
    number_of = {run_id(manifest, number): number for number in range(6)}
    runs = sorted(logged(whole.folder), key=lambda run: number_of[run.id])
    assert [run.about["name"] for run in runs] == [
        *("baseline-0000", "convnext-0001", "mixup-0002"),
        *("baseline-0003", "convnext-0004", "mixup-0005"),
    ]
    accuracies = of_each(read_events(whole.folder / FILE), "val_acc")
    assert {number: [point["eval_acc"] for point in run.history] for number, run in enumerate(runs)} == accuracies


@pytest.mark.slow
def test_a_sweep_that_was_cut_logs_on_from_where_it_is_resumed(cut: Cut) -> None:
    """Its first run, which was killed, logged nothing to wandb; its second was interrupted."""
    manifest = json.loads((cut.folder / "manifest.json").read_text())
    steps: dict[str, list[int]] = {}
    for got in logged(cut.folder):
        if got.history:  # of one that is stopped after it waited at a rung, a later run logs the end alone
            steps.setdefault(got.id, []).extend(point["_step"] for point in got.history)
    before, all_epochs = (of_each(events, "epoch") for events in (cut.killed_after, read_events(cut.folder / FILE)))
    after = {number: epochs[len(before.get(number, [])) :] for number, epochs in all_epochs.items()}
    assert steps == {run_id(manifest, number): epochs for number, epochs in after.items() if epochs}
    assert any(before.get(number) and epochs for number, epochs in after.items())  # it was killed within a trial
