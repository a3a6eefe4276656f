"""Results folders that are damaged, or that a stranger made, are reported on or refused; never anything else."""

from __future__ import annotations

import ast
import io
import json
import pickle
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.error_tables import DRAWN
from analysis.errors import ResultsError
from analysis.figures.confirmed import confirmed_drawings
from analysis.figures.confusion import confusion
from analysis.figures.search import search_drawings
from analysis.report import make_section, write_report
from analysis.side_by_side import joined_table
from analysis.study import FORMS, read_study
from analysis.terminal import as_terminal, print_study
from tests.analysis.made import ARMS, captured, write_study
from tests.fuzz.damage import accepted_or_refused, altered, damaged_bytes, inputs, shuffled

ROOT = Path(__file__).parents[2]
ARRAY = "confirm/predictions/mixup-1-fold5-seed0.npy"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole search alone."""
    return write_study(tmp_path_factory.mktemp("fuzz") / "sweep", arms=ARMS[:3], per_class=2, confirm=False)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole search and its confirmed runs."""
    folder = tmp_path_factory.mktemp("fuzz") / "study"
    return write_study(folder, arms=ARMS[:3], per_class=2, seeds=1, folds=(4, 5))


@contextmanager
def instead(path: Path, content: bytes) -> Iterator[None]:
    """Let a file have another content for a while."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def report(folder: Path) -> None:
    """Do all that `python -m analysis` does, but for writing files and drawing figures."""
    with accepted_or_refused():
        study, console = read_study(folder), captured()
        print_study(study, console)
        made_page = make_section("made", study, [])
        assert made_page.headline and made_page.facts
        for table in [*study.tables, joined_table({"made": study, "again": study})]:
            console.print(as_terminal(table))
            for form in FORMS.values():
                form(table).encode()


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def as_lines(events: list[object]) -> bytes:
    return b"".join(as_json(event) + b"\n" for event in events)


def read_lines(path: Path) -> list[object]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("file", ["manifest.json", "events.jsonl"])
@inputs(few=20, percent=3)
@given(data=st.data())
def test_any_bytes_of_a_sweep(sweep: Path, file: str, data: st.DataObject) -> None:
    content = data.draw(damaged_bytes((sweep / file).read_bytes()))
    with instead(sweep / file, content):
        report(sweep)


@inputs(few=30, percent=9)
@given(data=st.data())
def test_any_values_in_a_sweeps_manifest(sweep: Path, data: st.DataObject) -> None:
    content = as_json(data.draw(altered(json.loads((sweep / "manifest.json").read_bytes()))))
    with instead(sweep / "manifest.json", content):
        report(sweep)


@inputs(few=20, percent=8)
@given(data=st.data())
def test_any_events_of_a_sweep(sweep: Path, data: st.DataObject) -> None:
    events = read_lines(sweep / "events.jsonl")
    changed = data.draw(st.one_of(altered(events), shuffled(events)))
    with instead(sweep / "events.jsonl", as_lines(changed)):
        report(sweep)


@inputs(few=8, percent=6)
@given(data=st.data())
def test_any_values_in_the_manifest_of_the_confirmed_runs(study: Path, data: st.DataObject) -> None:
    path = study / "confirm" / "manifest.json"
    with instead(path, as_json(data.draw(altered(json.loads(path.read_bytes()))))):
        report(study)


@inputs(few=8, percent=4)
@given(data=st.data())
def test_any_events_of_the_confirmed_runs(study: Path, data: st.DataObject) -> None:
    path = study / "confirm" / "events.jsonl"
    events = read_lines(path)
    changed = data.draw(st.one_of(altered(events), shuffled(events)))
    with instead(path, as_lines(changed)):
        report(study)


@pytest.mark.parametrize("file", ["confirm/clips.csv", ARRAY])
@inputs(few=8, percent=4)
@given(data=st.data())
def test_any_bytes_of_clips_and_predictions(study: Path, file: str, data: st.DataObject) -> None:
    content = (study / file).read_bytes()
    with instead(study / file, data.draw(damaged_bytes(content, end=160))):
        report(study)


@contextmanager
def any_values(study: Path, data: st.DataObject) -> Iterator[None]:
    """Let a manifest or a log have other values, or be refused."""
    path = study / data.draw(st.sampled_from(["manifest.json", "events.jsonl", "confirm/manifest.json"]))
    lines = [json.loads(path.read_bytes())] if path.suffix == ".json" else read_lines(path)
    with instead(path, as_lines(data.draw(altered(lines)))), accepted_or_refused():
        yield


@inputs(few=5, percent=1.7)
@given(data=st.data())
def test_any_values_in_drawings(study: Path, data: st.DataObject) -> None:
    with any_values(study, data):
        found = read_study(study)
        assert list(search_drawings(found.results))
        assert found.outcome is None or list(confirmed_drawings(found.results.manifest, found.outcome))


@inputs(few=1, percent=0.3)
@given(data=st.data())
def test_any_values_in_a_report(study: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    with any_values(study, data):
        write_report([read_study(study)], tmp_path_factory.mktemp("fuzz") / "report")


@pytest.mark.parametrize("name", ["x" * 300, "a\nb"])
def test_any_name_of_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ResultsError) as caught:
        read_study(tmp_path / name)
    assert str(caught.value).isprintable()


def test_a_name_too_long_for_a_report_is_refused(sweep: Path, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="cannot write the report"):
        write_report([read_study(sweep)], tmp_path / ("x" * 300))


@pytest.mark.parametrize("classes", [DRAWN, DRAWN + 1, 5_000])
def test_more_classes_than_a_picture_can_hold_have_no_figure(classes: int) -> None:
    truth = np.arange(classes)
    drawing = confusion(truth, truth[None], [f"class {i}" for i in truth], "convnext", [], "")
    assert (drawing is None) == (classes > DRAWN)


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def with_code(path: Path, form: str) -> bytes:
    """Return a file that makes `path` when it is unpickled: a pickle, an array of objects, or an archive of one."""
    code, buffer = Touch(path), io.BytesIO()
    if form == "pickle":
        return pickle.dumps(code)
    if form == "array":
        np.save(buffer, np.array([code], dtype=object), allow_pickle=True)
    else:
        np.savez(buffer, logits=np.array([code], dtype=object), allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["pickle", "array", "archive"])
def test_code_in_predictions_is_not_run(study: Path, tmp_path: Path, form: str) -> None:
    with instead(study / ARRAY, with_code(tmp_path / "owned", form)):
        found = read_study(study)
    assert not (tmp_path / "owned").exists()
    assert "The predictions of mixup, fold 5, seed 0 are damaged, and are left out." in found.results.confirmed.left_out
    pickle.loads(with_code(tmp_path / "owned", "pickle"))  # the same does run where code is allowed
    assert (tmp_path / "owned").exists()


def test_nothing_in_analysis_unpickles_or_runs_what_it_reads() -> None:
    forbidden = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "subprocess", "runpy", "yaml"}
    calls = {"eval", "exec", "compile", "__import__", "read_pickle", "system", "query"}
    for path in (ROOT / "analysis").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & forbidden, f"{path}, line {node.lineno}"
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                allowed = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
                assert not allowed.get("allow_pickle", False), f"{path}, line {node.lineno}"
                assert called not in calls or ast.unparse(node.func) == "re.compile", f"{path}, line {node.lineno}"


def test_an_array_that_claims_to_be_huge_takes_no_memory(study: Path) -> None:
    with instead(study / ARRAY, huge_array()):
        tracemalloc.start()
        try:
            left_out = read_study(study).results.confirmed.left_out
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert "The predictions of mixup, fold 5, seed 0 are damaged, and are left out." in left_out
    assert peak < 2**27


def huge_array() -> bytes:
    buffer = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (2**33, 3)}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + b"\0" * 400
