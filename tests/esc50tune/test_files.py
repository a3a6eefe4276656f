"""Files are there whole or not at all, and what hinders that is said."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from esc50tune.data.cache import save_array
from esc50tune.files import remove_cut_writes, write_whole


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Let a write fail as a full disk does: no file may have more bytes than `size`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_is_replaced(tmp_path: Path) -> None:
    for content in (b"old", b"new"):
        write_whole(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_write_that_fails_names_the_file_and_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"old")
    with no_file_beyond(100), pytest.raises(OSError) as caught:
        write_whole(tmp_path / "file", bytes(1_000))
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path / "file"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"old"}


def test_an_interrupt_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(source: Path, target: Path) -> None:
        assert source.read_bytes() == b"new"
        raise KeyboardInterrupt

    write_whole(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "file", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"old"}


def test_a_disk_that_is_read_only_is_named_although_it_forbids_to_tidy_up_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "write_bytes", refused)
    monkeypatch.setattr(os, "unlink", refused)
    with pytest.raises(OSError, match="Read-only file system") as caught:
        write_whole(tmp_path / "file", b"new")
    assert caught.value.filename == str(tmp_path / "file")


def test_an_array_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    with no_file_beyond(100), pytest.raises(OSError) as caught:
        save_array(tmp_path / "fold-1.npy", np.zeros(1_000))
    assert caught.value.errno == errno.EFBIG
    save_array(tmp_path / "fold-1.npy", np.arange(3))
    assert np.load(tmp_path / "fold-1.npy", mmap_mode="r").tolist() == [0, 1, 2]


def test_a_safe_write_is_on_the_disk_before_it_takes_the_old_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[object] = []
    monkeypatch.setattr(os, "fsync", lambda file: done.append(os.pread(file, 9, 0)))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *places: (done.append("replaced"), replace(*places)))
    write_whole(tmp_path / "file", b"new", safe=True)
    assert done == [b"new", "replaced"]
    assert (tmp_path / "file").read_bytes() == b"new"


def test_what_writes_that_were_cut_left_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*places: Path) -> None:
        raise KeyboardInterrupt

    (tmp_path / "checkpoints").mkdir()
    names = [".lock", "manifest.json", "trial-0.1", "checkpoints/trial-0000.pt"]
    for name in names:
        (tmp_path / name).touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        for name in ("manifest.json", "checkpoints/trial-0000.pt"):
            with pytest.raises(KeyboardInterrupt):
                write_whole(tmp_path / name, b"new")
    assert len(list(tmp_path.rglob(".*.*"))) == 2
    remove_cut_writes(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(names)
