"""The notebook, executed from top to bottom as a new user does."""

from __future__ import annotations

import copy
import os
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from tests.conftest import SMALL
from tests.sweeps.scripts import ROOT, patched

NOTEBOOK = nbformat.read(ROOT / "notebooks" / "esc50tune.ipynb", as_version=4)
QUICK = SMALL | {"epochs": 2, "convnext_depths": "1,1", "clip_seconds": 1.0}


# The sweep does not end before it is killed.
HELD = """
import sys, time
from sweeps.events import EventLog
append = EventLog.append
def held(self, event, **fields):
    append(self, event, **fields)
    while event == "end" and "--name" in sys.argv:
        time.sleep(1)
EventLog.append = held
"""


def execute(notebook: NotebookNode, place: Path, own: Path) -> None:
    """Run all cells with `place` as the working directory, IPython's files in `own`; an error in a cell ends it with
    CellExecutionError."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(own))
        NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(place)}}).execute()


def with_parameters(**values: object) -> NotebookNode:
    """Return the notebook with other values in the cell of parameters."""
    notebook = copy.deepcopy(NOTEBOOK)
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    assert all(f"\n{name} = " in f"\n{cell.source}" for name in values)
    cell.source += "".join(f"\n{name} = {value!r}" for name, value in values.items())
    return notebook


def printed(notebook: NotebookNode, cell: str) -> str:
    (outputs,) = (found.outputs for found in notebook.cells if found.id == cell)
    return "".join(output.text for output in outputs if output.output_type == "stream")


def shown(notebook: NotebookNode, cell: str, kind: str) -> list[str]:
    (outputs,) = (found.outputs for found in notebook.cells if found.id == cell)
    return [output.data[kind] for output in outputs if kind in output.get("data", {})]


def test_it_is_committed_without_outputs() -> None:
    nbformat.validate(NOTEBOOK)
    for cell in NOTEBOOK.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@pytest.mark.slow
def test_from_top_to_bottom_it_shows_tables_and_report_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", patched(tmp_path, HELD, after="sweeps.trainable")["PYTHONPATH"])
    results, settings = ROOT / "results", [part for pair in QUICK.items() for part in ("--set", "{}={}".format(*pair))]
    name = f"test-notebook-{os.getpid()}"
    notebook = with_parameters(
        ARMS="convnext,mixup", TRIALS=4, MORE=settings, MACHINE=["--no-dashboard"], NAME=name, REPOSITORY="unused"
    )
    try:
        execute(notebook, ROOT / "notebooks", tmp_path)
    finally:
        shutil.rmtree(results / name, ignore_errors=True)
    assert "tensorboard-frame" in "".join(shown(notebook, "tensorboard", "text/html"))
    assert "installing" not in printed(notebook, "install")
    assert "GPU" in printed(notebook, "gpu")
    assert printed(notebook, "sweep").count("[1/4]") == 1
    assert printed(notebook, "kill") == "the sweep is dead: exit code -9\n"
    assert "of 4 trials had ended" in printed(notebook, "resume")
    assert "Regularization ablation" in printed(notebook, "resume")
    assert any("optimistic" in table for table in shown(notebook, "tables", "text/markdown"))
    assert "10 left" in printed(notebook, "confirm")
    (page,) = shown(notebook, "report", "text/html")
    assert page.startswith("<div><iframe srcdoc=")
    assert "embedded stand-in" in page
    assert "data:image/" in page  # the figures are in it
    assert "hears     1 s at 8,000 Hz" in printed(notebook, "predict")
    assert len(shown(notebook, "predict", "text/html")) == 1  # the clip
    everything = "".join(printed(notebook, cell.id) for cell in notebook.cells if cell.cell_type == "code")
    assert "Traceback" not in everything
    assert "\x1b[" not in everything  # which moves a terminal's cursor, and is garbage here


@pytest.mark.slow
def test_outside_a_checkout_without_an_address_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match="no checkout of the project: set REPOSITORY above to its address"):
        execute(with_parameters(), tmp_path, tmp_path)


@pytest.mark.slow
def test_an_address_that_cannot_be_cloned_is_told(tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match="'/nowhere' could not be cloned: correct REPOSITORY above"):
        execute(with_parameters(REPOSITORY="/nowhere"), tmp_path, tmp_path)
