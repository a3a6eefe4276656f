"""The messages that docs/troubleshooting.md quotes are those of the program."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
OURS = PAGE.partition("## Messages of other programs")[0]
MESSAGES = re.findall(r"^\| `([^`]+)`", OURS, re.MULTILINE)


def texts(tree: ast.AST) -> Iterator[str]:
    """Yield every string of a program, with a mark where it puts a value in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.fixture(scope="module")
def program() -> str:
    files = (path for name in ("esc50tune", "sweeps", "analysis") for path in (ROOT / name).rglob("*.py"))
    told = [text for path in files for text in texts(ast.parse(path.read_text()))]
    return "\n".join([*told, (ROOT / "Makefile").read_text()])


def test_the_page_quotes_messages_in_three_tables() -> None:
    assert len(MESSAGES) > 30
    assert OURS.count("| message | cause | remedy |") == 3


@pytest.mark.parametrize("message", MESSAGES)
def test_a_quoted_message_is_one_of_the_program(message: str, program: str) -> None:
    words = ".*".join(re.escape(part.strip()) for part in message.split("..."))
    assert re.search(words, program), message
