"""What docs/study tells is what its results give, by the code of today."""

from __future__ import annotations

import io
import json
import re
import tarfile
from datetime import datetime
from pathlib import Path

import pytest
from rich.console import Console

from analysis.answers import answers
from analysis.outcome import make_outcome
from analysis.search_tables import search_tables
from analysis.study import Study, read_study, write_table_files
from analysis.table import Table
from analysis.terminal import as_terminal
from tests.docs.pages import ROOT

FOLDER = ROOT / "docs" / "study"
PAGE = FOLDER / "README.md"
PAGES = [PAGE, ROOT / "README.md"]
ARCHIVES = {path.name.removesuffix(".tar.xz"): path for path in sorted(FOLDER.glob("*.tar.xz"))}
# a difference and its interval in a sentence: -1.2 (-3.4 to +5.6)
TOLD = re.compile(r"([+-]?\d+\.\d) \(([+-]?\d+\.\d) to ([+-]?\d+\.\d)\)")
# the same in a row of the answers, with the least that could have been seen, and the seconds of a run
ANSWER = re.compile(TOLD.pattern + r" \| (\d+\.\d) \| (\d+)")
# an accuracy and its interval in a sentence: 70.0 % right (95 % interval 65.0 to 75.0)
RIGHT = re.compile(r"(\d+\.\d) % right \(95 % interval (\d+\.\d) to (\d+\.\d)\)")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The results folder of each study, by its name."""
    place = tmp_path_factory.mktemp("results")
    for path in ARCHIVES.values():
        with tarfile.open(path) as archive:
            archive.extractall(place, filter="data")
    return {name: place / name for name in ARCHIVES}


@pytest.fixture(scope="module")
def studies(folders: dict[str, Path]) -> dict[str, Study]:
    return {name: read_study(folder) for name, folder in folders.items()}


def each(test):
    return pytest.mark.parametrize("name", ARCHIVES)(test)


@each
def test_the_page_shows_the_tables_of_its_results(studies: dict[str, Study], name: str) -> None:
    page = unbroken(PAGE.read_text())
    for table in studies[name].main:
        assert terminal_text(table) in page


def test_the_page_on_sweeps_shows_the_tables_of_a_search(studies: dict[str, Study]) -> None:
    page = unbroken((ROOT / "docs" / "sweeps.md").read_text())
    for table in search_tables(studies["esc10-regularization"].results):
        assert terminal_text(table) in page


def terminal_text(table: Table) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(as_terminal(table))
    return unbroken(console.file.getvalue())


def unbroken(text: str) -> str:
    """Return a text without blank lines and blanks at the ends of lines."""
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


@each
def test_the_tables_of_its_report_are_those_of_its_results(
    studies: dict[str, Study], name: str, tmp_path: Path
) -> None:
    write_table_files(studies[name].tables, tmp_path)
    files = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert {path.name: path.read_text() for path in (FOLDER / name / "tables").iterdir()} == files


@each
def test_what_several_tables_compare_with_the_same_arm_is_told_together(studies: dict[str, Study], name: str) -> None:
    results = studies[name].results
    headings = [answer.heading for answer in answers(results, make_outcome(results))]
    assert len(headings) == len(set(headings))


@each
def test_nothing_of_it_is_missing_or_unfinished(studies: dict[str, Study], name: str) -> None:
    results = studies[name].results
    assert (results.unended, results.lost, results.left_out) == (0, "", [])
    assert results.confirmed is not None
    assert results.confirmed.left_out == []


@each
def test_what_was_frozen_is_older_than_every_test(folders: dict[str, Path], name: str) -> None:
    search, confirm = (json.loads((folders[name] / part / "manifest.json").read_text()) for part in ("", "confirm"))
    frozen = datetime.fromisoformat(confirm["created"])
    assert max(datetime.fromisoformat(run["ended"]) for run in search["runs"]) <= frozen
    tests = [path.stat().st_mtime for path in (folders[name] / "confirm" / "predictions").iterdir()]
    assert frozen.timestamp() < min(tests)


@each
def test_no_configuration_was_chosen_on_the_clean_test_fold(studies: dict[str, Study], name: str) -> None:
    split, confirmed = studies[name].results.manifest["split"], studies[name].results.confirmed.manifest
    assert split["test"] == confirmed["test_fold"] not in [*split["train"], split["val"]]
    assert split["test"] not in confirmed["searched"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_difference_in_the_text_is_one_of_the_tables(studies: dict[str, Study], page: Path) -> None:
    rows = [row for study in studies.values() for table in study.main for _, row in table.frame.iterrows()]
    known = {
        (*(f"{row[name]:.1f}" for name in ("difference", "low", "high", "detectable")), f"{row['seconds']:.0f}")
        for row in rows
    }
    text = page.read_text().replace("+", "")
    assert set(TOLD.findall(text)) <= {row[:3] for row in known}
    assert set(ANSWER.findall(text)) <= known
    assert page != PAGE or len(ANSWER.findall(text)) > 10


def test_every_accuracy_in_the_text_has_the_interval_of_the_tables(studies: dict[str, Study]) -> None:
    rows = [row for study in studies.values() for table in study.main for _, row in table.frame.iterrows()]
    known = {tuple(f"{row[name]:.1f}" for name in ("accuracy", "accuracy low", "accuracy high")) for row in rows}
    told = {page: set(RIGHT.findall(unbroken(page.read_text()))) for page in PAGES}
    assert told[PAGE]
    assert set.union(*told.values()) <= known


def test_the_order_of_arms_that_the_page_tells_is_that_of_a_report() -> None:
    told = re.compile(r"Kendall's tau (?:is )?(-?\d\.\d+)")
    reports = "".join(path.read_text() for path in FOLDER.glob("*/report.md"))
    assert told.findall(PAGE.read_text())
    assert {*told.findall(PAGE.read_text())} <= {*told.findall(reports)}
