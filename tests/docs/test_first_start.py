"""A first start that fails says what to do."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.docs.pages import ROOT


@pytest.mark.parametrize(
    "command",
    [
        ["sweeps/regularization.py", "--num-samples", "40"],
        ["sweeps/confirm.py", "results/first"],
        ["-m", "analysis", "results/first"],
        ["-m", "esc50tune.data", "check", "data/mine"],
    ],
    ids=" ".join,
)
def test_a_python_without_the_packages_is_told_in_one_sentence(command: list[str]) -> None:
    bare = [sys.executable, "-S"]  # it has the standard library alone
    done = subprocess.run([*bare, *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the package '")
    assert "`source .venv/bin/activate`" in done.stderr
    assert "`pip install -r requirements.txt`" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_module_of_the_program_that_is_missing_is_no_users_mistake() -> None:
    code = "from esc50tune.command import end_with\ndef run():\n    import esc50tune.gone\nend_with(run)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "ModuleNotFoundError: No module named 'esc50tune.gone'" in done.stderr
