"""Two real sweeps that several tests look at: one that was left alone, and the same one killed and interrupted."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from analysis.files import read_events
from esc50tune.data.cache import open_cache
from esc50tune.data.dataset import Dataset
from sweeps.events import FILE
from tests.conftest import RATE, SECONDS
from tests.sweeps.scripts import SCRIPT, command, killed_at, patched, run, slowed, start, wait_for_events

ARMS = ["baseline", "convnext", "mixup"]
# ASHA: where trials wait at a rung, those that --extend adds change which of the first ones go on.
STUDY = ["--arms", ",".join(ARMS), "--num-samples", "7"]
ONE_AT_A_TIME = ["--max-concurrent", "1", "--no-dashboard"]


@dataclass
class Whole:
    """A finished sweep: three arms, two trials each. The clips of its test fold were gone before it began.

    Attributes:
        folder: its results folder, which no test changes.
        printed: what it said.
    """

    folder: Path
    printed: str


@pytest.fixture(scope="session")
def whole(tones: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ESC50TUNE_CACHE", str(tmp_path_factory.mktemp("blind")))
        (open_cache(tones, RATE, SECONDS).folder / "fold-5.npy").unlink()
        results = tmp_path_factory.mktemp("results")
        more = [*STUDY, "--name", "first", *ONE_AT_A_TIME, "--wandb", "offline"]
        done = run(*command(tones.root, results, *more))
        assert not list(Path(os.environ["ESC50TUNE_CACHE"]).rglob("fold-5.npy"))
    assert done.returncode == 0, done.stdout + done.stderr
    return Whole(results / "first", done.stdout)


@dataclass
class Cut:
    """The same sweep, but killed once and interrupted after three trials, and gone on with each time.

    Attributes:
        folder: its results folder.
        killed_after: the events that it had when it was killed.
        interrupted: exit code and output of the run that was interrupted.
        tables: the ablation's table as that run left it.
        resumed: exit code and output of the last run.
    """

    folder: Path
    killed_after: list[dict]
    interrupted: tuple[int, str]
    tables: str
    resumed: tuple[int, str]


@pytest.fixture(scope="session")
def cut(tones_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Cut:
    results = tmp_path_factory.mktemp("cut")
    folder, log = results / "cut", results / "cut" / FILE
    # By then the first trial that goes on at its rung is on its way.
    env = patched(tmp_path_factory.mktemp("killed"), killed_at("trial", 11), after="sweeps.trainable")
    first = start(*command(tones_folder, results, *STUDY, "--name", "cut", *ONE_AT_A_TIME), env=env)
    printed, _ = first.communicate()
    assert first.returncode == -signal.SIGKILL, printed
    events = read_events(log)
    again = [*SCRIPT, "--resume", str(folder), *ONE_AT_A_TIME, "--wandb", "offline"]
    second = start(*again, env=slowed(results, 0.2))
    wait_for_events(log, 3, "end")
    os.killpg(second.pid, signal.SIGINT)
    printed, _ = second.communicate()
    tables = (folder / "tables" / "regularization-ablation.md").read_text()
    third = run(*again)
    output = third.stdout + third.stderr
    return Cut(folder, events, (second.returncode, printed), tables, (third.returncode, output))
