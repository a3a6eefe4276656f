"""`python -m analysis`: what is wrong with its command line is said in one sentence."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import __main__ as command
from analysis import study
from tests.analysis.made import write_study


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: FOLDER"),
        (["--outt", "x", "results/x"], "unrecognized arguments: --outt"),
        (["--ou", "x", "results/x"], "unrecognized arguments: --ou"),
        (["results/x", "--out"], "argument --out: expected one argument"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_one_sentence(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["analysis", *arguments])
    assert command.main() == 2
    told = capsys.readouterr()
    assert told.out == ""
    (said,) = told.err.splitlines()
    assert said.startswith(f"error: {words}")
    assert said.endswith(" (see --help)")


def test_an_interrupt_ends_with_130_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def interrupted(folder: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["analysis", "results/x"])
    monkeypatch.setattr(study, "read_study", interrupted)
    assert command.main() == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_reader_that_has_gone_costs_neither_the_report_nor_a_traceback(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study")
    command = [sys.executable, "-m", "analysis", str(folder)]
    whole = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    for read in (0, 1, len(whole) - 2):  # nothing; a line, as `head -1`; all but the place of the report
        shutil.rmtree(folder / "report")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            for _ in range(read):
                process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == ""
        assert process.returncode == 0
        assert (folder / "report" / "index.html").is_file()
