"""What docs/study shows is what its results give, by the code of today."""

from __future__ import annotations

import io
import tarfile

import pytest
from rich.console import Console

from analysis.study import Study, read_study
from analysis.terminal import as_terminal
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "study" / "README.md"
ARCHIVES = sorted(PAGE.parent.glob("*/results.tar.xz"))


@pytest.fixture(scope="module", params=ARCHIVES, ids=lambda archive: archive.parent.name)
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Study:
    place = tmp_path_factory.mktemp("results")
    with tarfile.open(request.param) as archive:
        archive.extractall(place, filter="data")
    return read_study(place / request.param.parent.name)


def test_the_page_shows_the_tables_of_its_results(study: Study) -> None:
    console = Console(file=io.StringIO(), width=80)
    for table in study.main:
        console.print(as_terminal(table))
    shown = [line.rstrip() for line in PAGE.read_text().splitlines()]
    lines = [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]
    start = shown.index(lines[0])
    assert [line for line in shown[start:] if line][: len(lines)] == lines


def test_the_page_tells_how_many_runs_are_done(study: Study) -> None:
    ended = int(study.results.confirmed.costs()["runs"].sum())
    assert f"**of which {ended}\nare done**" in PAGE.read_text()


def test_no_configuration_was_chosen_on_the_clean_test_fold(study: Study) -> None:
    split, confirmed = study.results.manifest["split"], study.results.confirmed.manifest
    assert split["test"] == confirmed["test_fold"] not in [*split["train"], split["val"]]
    assert split["test"] not in confirmed["searched"]
