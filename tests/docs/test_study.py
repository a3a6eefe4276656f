"""What docs/study tells is what its results give, by the code of today."""

from __future__ import annotations

import json
import re
import tarfile
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from analysis.study import Study, read_study, write_table_files
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "study" / "README.md"
ARCHIVES = sorted((ROOT / "docs" / "study").glob("*/results.tar.xz"))
# a row of the page's answers: | `arm` | -1.2 | -3.4 to +5.6 | no difference seen (≥ 7.8) | 1.2 | ...
ROW = re.compile(
    r"^\| `([\w-]+)` \| ([+-]?[\d.]+) \| ([+-]?[\d.]+) to ([+-]?[\d.]+) \| ([^|]+) \| ([\d.]+) \|", re.MULTILINE
)


def named(archive: Path) -> str:
    return archive.parent.name


@pytest.fixture(scope="module", params=ARCHIVES, ids=named)
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Study]:
    """A study's name, its results folder, and what is told of it."""
    place, name = tmp_path_factory.mktemp("results"), named(request.param)
    with tarfile.open(request.param) as archive:
        archive.extractall(place, filter="data")
    return name, place / name, read_study(place / name)


def test_its_tables_are_those_of_its_results(study: tuple[str, Path, Study], tmp_path: Path) -> None:
    name, _, told = study
    write_table_files(told.tables, tmp_path)
    kept = ROOT / "docs" / "study" / name / "tables"
    assert {path.name: path.read_text() for path in kept.iterdir()} == {
        path.name: path.read_text() for path in tmp_path.iterdir()
    }


def test_nothing_of_it_is_missing_or_unfinished(study: tuple[str, Path, Study]) -> None:
    results = study[2].results
    assert (results.unended, results.lost, results.left_out) == (0, "", [])
    assert results.confirmed is not None and results.confirmed.left_out == []


def test_what_was_frozen_is_older_than_the_first_test(study: tuple[str, Path, Study]) -> None:
    _, folder, _ = study
    search, confirm = (json.loads((place / "manifest.json").read_text()) for place in (folder, folder / "confirm"))
    ends = [datetime.fromisoformat(run["ended"]) for run in search["runs"]]
    assert max(ends) <= datetime.fromisoformat(confirm["created"])
    assert search["split"]["test"] == confirm["test_fold"] not in [*search["split"]["train"], search["split"]["val"]]


def test_the_pages_answers_are_figures_of_its_tables(study: tuple[str, Path, Study]) -> None:
    name, _, _ = study
    tables = ROOT / "docs" / "study" / name / "tables"
    frames = [pd.read_csv(tables / f"{table}.csv") for table in ("baseline-vs-convnext", "regularization-ablation")]
    found = pd.concat(frames).dropna(subset=["difference"]).set_index("arm")
    plain = frames[1].set_index("arm").loc["convnext", "seconds"]
    rows = ROW.findall(PAGE.read_text().partition(f"<!-- {name} -->")[2].partition("<!-- end -->")[0])
    assert {row[0] for row in rows} == set(found.index)
    for arm, difference, low, high, verdict, cost in rows:
        told = found.loc[arm]
        assert [float(difference), float(low), float(high)] == [
            round(told[c], 1) for c in ("difference", "low", "high")
        ]
        seen = f" (≥ {told['detectable']:.1f})" if told["verdict"] == "no difference seen" else ""
        assert verdict == told["verdict"] + seen
        assert float(cost) == round(told["seconds"] / plain, 1)
