"""Where Ray cannot do its part, one sentence says so, and how it goes on."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from ray import tune
from ray.exceptions import AuthenticationError

import sweeps.runner
from esc50tune.errors import UserError
from sweeps.cluster import interrupt_held, join_cluster, start_ray
from sweeps.console import Console
from sweeps.resources import Machine
from tests.sweeps.scripts import SCRIPT, command, run_here

STUDY = ["--arms", "convnext,mixup", "--num-samples", "2", "--name", "new", "--no-dashboard"]


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "no space"), RuntimeError("no space\nin 12 lines"), ValueError("no space")]
)
def test_where_ray_does_not_start_its_first_line_is_told(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> None:
        raise error

    monkeypatch.setattr(ray, "init", init)
    words = (
        r"^Ray did not start on this machine \(.*no space\); its own files are in /tmp, or where TMPDIR says, and need"
    )
    with pytest.raises(UserError, match=words):
        start_ray([Machine(1, 0)], False, Console(quiet=True))


def test_the_token_of_this_machines_ray_is_for_its_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / ".ray" / "auth_token"

    def init(**_: object) -> SimpleNamespace:  # as Ray does at first
        token.parent.mkdir(exist_ok=True)
        token.write_text("secret")
        return SimpleNamespace(dashboard_url=None)

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(ray, "init", init)
    start_ray([Machine(1, 0)], False, Console(quiet=True))
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AuthenticationError("No token was found. Ensure that ..."), r"\(No token was found\)"),
        (RuntimeError("Version mismatch: it has:\n    Ray: 2.9.0\n"), r"\(Version mismatch: it has: Ray: 2\.9\.0\)"),
    ],
)
def test_a_cluster_that_cannot_be_joined_says_why_in_a_sentence(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**_: object) -> None:
        raise error

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr("sweeps.cluster.check_reachable", lambda address: None)
    with pytest.raises(
        UserError, match=rf"^--address auto: joining the Ray cluster failed {words}; one that asks for a"
    ):
        join_cluster("auto")


def test_the_last_cluster_of_this_machine_that_is_gone_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    with pytest.raises(UserError, match=rf"^--address \S+:{port}: no Ray cluster answers there"):
        join_cluster("auto")


@pytest.mark.slow
def test_a_ctrl_c_waits_until_ray_has_started_and_a_second_one_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    ran, before = [], signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interrupt_held():
        signal.raise_signal(signal.SIGINT)
        ran.append("all of it")
    assert ran == ["all of it"]
    assert capsys.readouterr().err == "stopping, once Ray has started (Ctrl-C again: at once)\n"
    with pytest.raises(KeyboardInterrupt), interrupt_held():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        ran.append("no more")
    assert ran == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is before


def test_interrupted_while_ray_starts_it_says_how_to_go_on(
    tones_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sweeps.runner, "start_ray", interrupted)
        assert run_here(*command(tones_folder, tmp_path, *STUDY)) == 130
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.splitlines()[-2:] == [
        "interrupted: 2 trials have not ended; the tables are made of those that have",
        f"go on with: python sweeps/regularization.py --resume {tmp_path / 'new'} --no-dashboard",
    ]
    assert '"how": "interrupted"' in (tmp_path / "new" / "manifest.json").read_text()
    monkeypatch.setattr(tune.Tuner, "fit", no_room)
    assert run_here(*SCRIPT, "--resume", str(tmp_path / "new"), "--no-dashboard") == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said == (
        "error: Ray stopped (No space left on device); its own files are in /tmp, or where TMPDIR says, and need room "
        f"there; nothing else is lost: mend that, then --resume {tmp_path / 'new'}"
    )


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/ray/session/artifacts")
