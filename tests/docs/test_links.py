"""Every link of a page leads somewhere: to a file that is there, and to a heading in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sweeps.manifest import git
from tests.docs.pages import BLOCK, PAGES, ROOT, named

LINK = re.compile(r"\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """Return the names that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if not link.startswith("https://"):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        links = (link.partition("#")[0] for link in LINK.findall(prose(page)))
        linked = {(page.parent / link).resolve() for link in links if link.endswith(".md")}
        waiting += linked - reached
    assert reached >= set(PAGES)


def test_every_image_is_shown_and_they_are_small() -> None:
    images = set((ROOT / "docs" / "images").iterdir())
    shown = {(page.parent / link).resolve() for page in PAGES for link in LINK.findall(prose(page))}
    assert images <= shown
    assert sum(image.stat().st_size for image in images) < 200_000


def test_every_page_is_under_version_control() -> None:
    listed = git("ls-files", "*.md", "docs")
    if listed is None:
        pytest.skip("no git checkout")
    pages = {named(page) for page in PAGES} | {named(image) for image in (ROOT / "docs" / "images").iterdir()}
    assert pages <= set(listed.splitlines())
