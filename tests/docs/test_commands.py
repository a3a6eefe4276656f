"""Every command in the documentation is one that the program knows, with options and names that it has."""

from __future__ import annotations

import argparse
import re
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from esc50tune.config import TrialConfig, parse_setting
from sweeps.arms import make_arms
from sweeps.presets import find_preset
from sweeps.studies import study_of
from tests.docs.pages import PAGES, ROOT, commands, named

# Their arms, models and features are not there before the reader has added them; tests/docs/test_extend.py runs them.
OWN = ("noise", "tiny", "mfcc")
COMMANDS = sorted({(named(page), *words) for page in PAGES for words in commands(page.read_text())})


class Parsed(BaseException):
    """The command line was taken, and would now be run."""


def parsed(words: list[str]) -> argparse.Namespace:
    """Return what the program that a command names makes of its words."""
    parse = argparse.ArgumentParser.parse_args

    def stop(self: argparse.ArgumentParser, *args: object) -> None:
        raise Parsed(parse(self, *args))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        patch.setattr(sys, "path", ["", *sys.path])  # a script replaces the first one
        module = words[0] == "-m"
        patch.setattr(sys, "argv", words[module:])
        try:
            if module:
                package = find_spec(words[1]).submodule_search_locations
                name = f"{words[1]}.__main__" if package else words[1]
                patch.delitem(sys.modules, name, raising=False)  # or runpy warns that it runs beside itself
                runpy.run_module(words[1], run_name="__main__", alter_sys=False)
            else:
                runpy.run_path(str(ROOT / words[0]), run_name="__main__")
        except Parsed as end:
            return end.args[0]
        except SystemExit as end:
            assert end.code == 0  # --help
            return argparse.Namespace()
    raise AssertionError("it read no command line")


def test_the_pages_have_commands() -> None:
    assert len(COMMANDS) > 40


def check(command: list[str]) -> None:
    program, *words = command
    if program == "make":
        assert f"\n{words[0]}:" in (ROOT / "Makefile").read_text()
    elif words[1] == "esc50tune.knob_table":
        assert (ROOT / words[2]).is_file()
    else:
        args = parsed(words)
        if hasattr(args, "default_arms") and not any(own in word for own in OWN for word in words):
            check_names(args)


def check_names(args: argparse.Namespace) -> None:
    """Look for the arms, knobs, preset and feature that a sweep's command line names."""
    settings = dict(map(parse_setting, args.set))
    TrialConfig.from_flat(settings)
    study, preset = study_of(args), find_preset(args.preset, has_gpu=False)
    asked = [args.arm] if args.arm else args.arms.split(",") if args.arms else study.default
    make_arms(study, asked, preset, {}, settings | ({"feature": args.feature} if args.feature else {}))


@pytest.mark.parametrize(
    ("page", "command"),
    [(page, words) for page, *words in COMMANDS],
    ids=lambda x: " ".join(x) if isinstance(x, list) else x,
)
def test_a_command_of_a_page_is_one_that_the_program_takes(page: str, command: list[str]) -> None:
    check(command)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_command_in_the_text_of_a_page_is_one_that_the_program_takes(page: Path) -> None:
    for line in re.findall(r"`(python (?:-m )?[\w./]+ [^`]+)`", page.read_text()):
        check(line.replace("|", " | ").partition(" | ")[0].split())
