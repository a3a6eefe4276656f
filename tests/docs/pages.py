"""The pages of the documentation, and the code blocks, commands and links in them."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(page for folder in ("", "docs", "docs/study") for page in (ROOT / folder).glob("*.md"))
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:\$ )?((?:python|make) .*)$", re.MULTILINE)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(text: str) -> list[tuple[str, str, str]]:
    """Return the line before each code block, its language, and its content."""
    return [(text[: found.start()].rstrip().rpartition("\n")[2], *found.groups()[1:]) for found in BLOCK.finditer(text)]


def commands(text: str) -> list[list[str]]:
    """Return the words of each command line of a page's code blocks, without its comment; a backslash goes on."""
    shell = [block.replace("\\\n", "") for _, language, block in blocks(text) if language != "python"]
    lines = [line for block in shell for line in COMMAND.findall(block)]
    return [shlex.split(line, comments=True) for line in lines]


def copy_of_program(folder: Path) -> Path:
    """Copy what a user changes and runs into `folder`."""
    for name in ("esc50tune", "sweeps", "analysis"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def extended(folder: Path, page: str, section: str = "") -> set[str]:
    """Put the files of a page about extensions, or of its one section, into a copy of the package, and their lines.

    Who follows the page has them there already. Returns the paths of the new files.
    """
    parts = [part for part in (ROOT / page).read_text().split("\n## ") if part.startswith(section)]
    added = set()
    for before, _, block in blocks("\n".join(parts)):
        for path in re.findall(r"`(esc50tune/\S+\.py)`", before):
            file = folder / path
            if "PLACES" not in before:
                file.write_text(block)
                added.add(path)
            elif block not in file.read_text():
                head, opening, rest = re.split(r"(^PLACES = [({]\n)", file.read_text(), flags=re.MULTILINE)
                file.write_text(head + opening + block + rest)
    return added
