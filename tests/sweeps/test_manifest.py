"""What a manifest tells of the code that a sweep was begun with."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sweeps import manifest


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one file of code, committed."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    monkeypatch.setattr(manifest, "ROOT", tmp_path)
    for name in ("esc50tune", "sweeps", "docs"):
        (tmp_path / name).mkdir()
    (tmp_path / "esc50tune" / "trial.py").write_text("epochs = 1\n")
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "begin"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_the_files_that_are_not_as_they_were_are_named(repository: Path) -> None:
    begun = {"commit": manifest.git("rev-parse", "HEAD"), "dirty": False}
    assert manifest.code_changes(begun) == ""
    (repository / "esc50tune" / "trial.py").write_text("epochs = 2\n")
    (repository / "esc50tune" / "noise.py").touch()
    (repository / "docs" / "page.md").touch()
    names = "esc50tune/trial.py, esc50tune/noise.py"
    short = begun["commit"][:7]
    assert manifest.code_changes(begun) == f" (not as at commit {short}: {names})"
    told = manifest.code_changes(begun | {"dirty": True})
    assert told == f" (not as at commit {short}, which had changes of its own then: {names})"


def test_of_many_files_some_are_named(repository: Path) -> None:
    for number in range(7):
        (repository / "sweeps" / f"{number}.py").touch()
    told = manifest.code_changes({"commit": manifest.git("rev-parse", "HEAD")})
    assert told.endswith(": sweeps/0.py, sweeps/1.py, sweeps/2.py, sweeps/3.py, sweeps/4.py, ...)")


@pytest.mark.parametrize("commit", [None, "0" * 40])
def test_where_git_knows_nothing_nothing_is_said(repository: Path, commit: str | None) -> None:
    assert manifest.code_changes({"commit": commit}) == ""
