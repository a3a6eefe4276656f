"""What all commands share: what is not there, or too old, is told in a sentence that says what to do."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from esc50tune import command
from esc50tune.command import OneSentenceParser, end_with, installing
from esc50tune.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    ["sweeps/regularization.py", "--dry-run"],
    ["sweeps/architectures.py", "--debug"],
    ["sweeps/confirm.py", "results/x"],
    ["-m", "sweeps.simulate"],
    ["-m", "analysis", "results/x"],
    ["-m", "esc50tune.data", "check", "x"],
    ["-m", "esc50tune.data", "download"],
    ["-m", "bench"],
]


def bare(*arguments: str) -> subprocess.CompletedProcess:
    """Run Python without any package that was installed."""
    line, env = [sys.executable, "-S", *arguments], {**os.environ, "COLUMNS": "80"}
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60, env=env)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_without_its_packages_a_command_says_how_to_install_them(arguments: list[str]) -> None:
    done = bare(*arguments)
    (said,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert said.startswith("error: the package '")
    assert "pip install" in said or "activate" in said


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_help_fits_a_screen_and_needs_no_package(arguments: list[str]) -> None:
    if arguments == ["-m", "bench"]:
        pytest.skip("its help tells how many cores there are, which takes PyTorch")
    named = arguments[: 2 if arguments[0] == "-m" else 1]
    done = bare(*named, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) <= 50  # one screen
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_an_older_python_is_told_in_a_sentence(arguments: list[str]) -> None:
    if arguments[0] == "-m":
        start = f"sys.argv = {arguments[1:]}; runpy.run_module({arguments[1]!r}, run_name='__main__', alter_sys=True)"
    else:
        start = f"sys.argv = {arguments}; runpy.run_path({arguments[0]!r}, run_name='__main__')"
    done = bare("-c", f"import runpy, sys; sys.path[0] = '.'; sys.version_info = (3, 9, 1, 'final', 0); {start}")
    (said,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert said.startswith("error: Python 3.10 ")


@pytest.mark.parametrize(
    "path",
    [
        *("esc50tune/__init__.py", "esc50tune/command.py", "esc50tune/errors.py"),
        *("sweeps/regularization.py", "sweeps/architectures.py", "sweeps/confirm.py", "sweeps/cli.py"),
        *("sweeps/simulate.py", "sweeps/__init__.py", "esc50tune/data/__main__.py", "esc50tune/predict.py"),
        *("analysis/__init__.py", "analysis/__main__.py", "analysis/errors.py"),
    ],
)
def test_an_older_python_can_read_what_comes_before_that_sentence(path: str) -> None:
    ast.parse((ROOT / path).read_text(), feature_version=(3, 7))


def test_where_make_made_an_environment_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "a b"
    (root / ".venv").mkdir(parents=True)
    monkeypatch.setattr(command, "ROOT", root)
    assert f"`pip install -r '{root}/requirements.txt'` brings it" in installing("torch")
    monkeypatch.chdir(root)
    assert "`pip install -r requirements.txt` brings it, or `make sweep`" in installing("torch")
    (root / ".venv" / "installed").touch()
    assert "`source .venv/bin/activate` takes the environment" in installing("torch")
    monkeypatch.setattr(sys, "prefix", str(root / ".venv"))  # it is the one that lacks the package
    assert "`pip install -r requirements.txt` brings it" in installing("torch")


def test_a_module_of_our_own_that_is_not_there_is_a_fault_of_ours() -> None:
    def broken() -> int:
        return import_module("esc50tune.nothing").code

    with pytest.raises(ModuleNotFoundError):
        end_with(broken)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--num-sample 3", "unrecognized arguments: --num-sample 3; did you mean '--num-samples'?"),
        ("--nam=x", "unrecognized arguments: --nam=x; did you mean '--name'?"),
        ("--zzzz", "unrecognized arguments: --zzzz (see --help)"),
        ("here", "unrecognized arguments: here (see --help)"),
    ],
)
def test_a_mistyped_flag_is_told_with_the_one_it_may_be(line: str, words: str) -> None:
    parser = OneSentenceParser(allow_abbrev=False)
    parser.add_argument("--num-samples"), parser.add_argument("--name")
    with pytest.raises(UserError) as told:
        parser.parse_args(line.split())
    assert str(told.value) == words
