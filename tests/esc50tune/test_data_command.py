"""`python -m esc50tune.data`: what is wrong with its command line is said in one sentence."""

from __future__ import annotations

import sys

import pytest

from esc50tune.data.__main__ import main
from tests.conftest import ended


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["downlaod"], "argument COMMAND: invalid choice: 'downlaod'"),
        (["download", "--to"], "argument --to: expected one argument"),
        (["download", "here"], "unrecognized arguments: here"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_one_sentence(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["esc50tune.data", *arguments])
    assert ended(main) == 2
    told = capsys.readouterr()
    assert told.out == ""
    (said,) = told.err.splitlines()
    assert said.startswith(f"error: {words}")
    assert said.endswith(" (see --help)")
