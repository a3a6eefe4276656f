"""A results folder that cannot be written: one sentence, and what is there stays as it is."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import ray

from esc50tune.errors import UserError
from sweeps.events import FILE, EventLog
from sweeps.manifest import write_manifest
from sweeps.runner import make_folder, only_process
from tests.sweeps.scripts import command, run_here
from tests.sweeps.test_plan import plan_for

STUDY = ["--arms", "convnext,mixup", "--num-samples", "2", "--name", "new", "--no-dashboard"]


def read_only(call: Callable, concerns: Callable[[str], bool] = lambda path: True) -> Callable:
    """Return what fails as `call` does on a read-only file system, for the paths that it concerns."""

    def failing(first: object, *args: object, **more: object) -> object:
        if concerns(str(first)):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(first))
        return call(first, *args, **more)

    return failing


@pytest.mark.slow
@pytest.mark.parametrize("below", [".", "deeper"])
def test_a_file_in_the_place_of_the_results_is_refused(
    tones_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture, below: str
) -> None:
    (tmp_path / "results").touch()
    assert run_here(*command(tones_folder, tmp_path / "results" / below, *STUDY)) == 2
    said = capsys.readouterr().err
    results = tmp_path / "results"
    assert said == f"error: --results '{results / below}': nothing can be written into '{results}'; name another\n"


@pytest.mark.slow
def test_results_that_cannot_be_made_are_refused_before_ray_starts(
    tones_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(os, "mkdir", read_only(os.mkdir, lambda path: ".new." in path))
    assert run_here(*command(tones_folder, tmp_path, *STUDY)) == 2
    said = capsys.readouterr().err
    assert said == f"error: cannot make the results folder '{tmp_path / 'new'}': Read-only file system\n"
    assert not ray.is_initialized()


def test_a_folder_whose_lock_cannot_be_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", read_only(os.open, lambda path: path.endswith(".lock")))
    with pytest.raises(UserError, match=r"\.lock' cannot be locked: Read-only file system$"), only_process(tmp_path):
        pass


def test_a_manifest_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_manifest(tmp_path, {"name": "old"})
    before = (tmp_path / "manifest.json").read_text()
    monkeypatch.setattr(os, "replace", read_only(os.replace))
    with pytest.raises(UserError, match=r"manifest\.json' cannot be written: Read-only file system$"):
        write_manifest(tmp_path, {"name": "new"})
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    assert (tmp_path / "manifest.json").read_text() == before


def test_of_two_sweeps_with_one_name_the_second_is_refused_and_leaves_nothing(
    tones_folder: Path, tmp_path: Path
) -> None:
    first, second = (plan_for(tones_folder, tmp_path, "--name", "same") for _ in range(2))
    make_folder(first)
    with pytest.raises(UserError, match=r"/same': another sweep has just made it$"):
        make_folder(second)
    assert [path.name for path in first.folder.parent.iterdir()] == ["same"]


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / FILE).unlink(),
        lambda folder: shutil.rmtree(folder),
        lambda folder: folder.rename(folder.with_name("moved")),
        lambda folder: (folder / FILE).write_bytes((folder / FILE).rename(folder / "old").read_bytes()),
    ],
    ids=["removed", "folder removed", "folder moved", "replaced"],
)
def test_a_log_that_is_not_where_it_was_is_not_written_on(tmp_path: Path, change: Callable[[Path], object]) -> None:
    folder = tmp_path / "sweep"
    folder.mkdir()
    log = EventLog(folder)
    log.append("deal", trial=0)
    before = os.fstat(log._file).st_size
    change(folder)
    with pytest.raises(UserError, match=r"events\.jsonl' was moved, removed or replaced while it was written$"):
        log.append("deal", trial=1)
    assert os.fstat(log._file).st_size == before
    log.close()


@pytest.mark.parametrize("calls", [["write"], ["write", "ftruncate"], ["fsync"]], ids=" ".join)
def test_an_event_that_cannot_be_written_is_not_acted_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    told: list[dict] = []
    log = EventLog(tmp_path, told.append)
    log.append("deal", trial=0)
    before = (tmp_path / FILE).read_text()
    for call in calls:
        monkeypatch.setattr(os, call, read_only(getattr(os, call)))
    with pytest.raises(UserError, match=r"events\.jsonl' cannot be written: Read-only file system$"):
        log.append("deal", trial=1)
    assert [event["trial"] for event in told] == [0]
    assert (tmp_path / FILE).read_text() == before
    log.close()
