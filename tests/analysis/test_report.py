"""The report, as `python -m analysis` writes it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import analysis.report
from analysis.errors import ResultsError
from analysis.report import write_report
from analysis.study import read_study
from analysis.terminal import write_tables
from tests.analysis.made import captured, edit_json, predictions, write_right, write_study

ROOT = Path(__file__).resolve().parents[2]
MAIN = ("baseline-vs-convnext", "regularization-ablation")
FEW, MOST = [True] * 3 + [False] * 9, [True] * 10 + [False] * 2

# Refuses what an environment with nothing but the analysis' own packages does not have.
ALONE = """
import runpy, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
sys.path.insert(0, {root!r})
sys.argv = ["analysis", *{arguments!r}]
runpy.run_module("analysis", run_name="__main__")
"""
MISSING = {
    *("torch", "torchaudio", "ray", "optuna", "encodec", "wandb", "soundfile", "pydantic", "requests", "filelock"),
    *("sweeps", "esc50tune", "pytest"),
}


def run(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    code = ALONE.format(missing=MISSING, root=str(ROOT), arguments=[str(argument) for argument in arguments])
    line = [sys.executable, "-c", code]
    environment = os.environ | {"COLUMNS": "80"}
    return subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_study(tmp_path_factory.mktemp("results") / "study")
    write_right(folder, {"baseline": FEW, "convnext": FEW, "mixup": MOST, "shift": FEW})
    done = run(folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def page(study: Path) -> str:
    return (study / "report" / "index.html").read_text().replace("\N{NO-BREAK SPACE}", " ")


class Reader(HTMLParser):
    """Collects the tags that are open at the end, attributes that point outside the page, and the text in order."""

    VOID = ("meta", "img")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open[-1] != "style":
            self.words.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(self.words)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes seconds and is not looked at."""
    monkeypatch.setattr(analysis.report, "make_figures", lambda results, outcome, folder: [])


def test_a_report_has_pages_tables_and_figures(study: Path) -> None:
    report = study / "report"
    assert {path.name for path in report.iterdir()} == {"index.html", "report.md", "tables", "figures"}
    for name in (*MAIN, "clean-test-fold", "per-class", "search", "search-regularization-ablation", "budget"):
        assert all((report / "tables" / f"{name}.{ending}").is_file() for ending in ("csv", "md", "tex"))
    for name in (*MAIN, "learning-curves"):
        assert all((report / "figures" / f"{name}.{ending}").is_file() for ending in ("png", "svg"))


def test_the_page_is_whole_and_needs_no_other_file_and_no_script(page: str) -> None:
    reader = Reader(page)
    assert reader.open == []
    assert "script" not in reader.tags and "link" not in reader.tags
    assert len(reader.addresses) == len(re.findall("<img", page)) >= 4
    assert all(address.startswith("data:image/svg+xml;base64,") for address in reader.addresses)
    assert "@import" not in page and "url(" not in page
    assert 'name="viewport" content="width=device-width' in page
    assert "prefers-color-scheme: dark" in page


@pytest.mark.parametrize("side", ["left", "right"])
def test_what_scrolls_sideways_is_shaded_where_there_is_more(page: str, side: str) -> None:
    """A shade stays at its edge; a cover on top of it moves with what is scrolled, so that it hides the last one."""
    (rule,) = re.findall(r"\.scroll, \.picture \{([^}]*)\}", page)
    assert "overflow-x: auto" in rule
    cover, shade = (rule.index(f"{how} {side} / ") for how in ("local", "scroll"))
    assert cover < shade  # the first is on top
    assert page.count('<div class="scroll"') == page.count("<table>") > 0


def test_a_figure_and_its_sign_are_not_parted_and_a_rows_name_stays_in_sight(study: Path) -> None:
    body = (study / "report" / "index.html").read_text().partition("<body>")[2]
    assert "95\N{NO-BREAK SPACE}% interval" in body and " %" not in body
    assert '<th scope="col" class="name">arm</th>' in body and '<td class="name">mixup</td>' in body


def test_the_answer_comes_before_what_this_is_and_before_any_table(page: str) -> None:
    text, start = Reader(page).text, page.index("<table>")
    assert "mixup : +58.3 points over the plain ConvNeXt (95 % interval " in text.replace("</b>", "")
    assert "shift : no difference seen (95 % interval " in text
    assert page.index("over the plain ConvNeXt (95 % interval") < page.index("What this is") < start
    assert page.index("also used to select these configurations") < page.index("What this is")


def test_what_this_is_stands_before_any_table(page: str) -> None:
    before = Reader(page).text
    before = before[before.index("What this is") : before.index("Confirmed results")]
    for words in (
        "tones (60 clips, 3 classes), recorded at 8,000 Hz",
        "12 trials of 4 arms, points by sobol, early stopping by asha",
        "trained on folds 1, 2, 3, selected on 4, fold 5 never opened",
        "40 of 40 runs; compared on folds 1, 2, 3, 4, 5 with 2 seeds; 160 epochs, 4 min of training",
        "commit 0123456789",
        "a processor, Linux",
        "Training accuracy is more than 20 points above validation in 2 of 4 arms",
    ):
        assert words in before


def test_search_values_stand_apart_and_are_labelled(page: str) -> None:
    text = Reader(page).text
    searched = text[text.index("The search Scores of the search") :]
    assert "Search results, not confirmed: Regularization ablation" in searched
    assert "Search results, not confirmed" not in text[: text.index("The search Scores of the search")]


def test_the_markdown_says_the_same(study: Path) -> None:
    text = (study / "report" / "report.md").read_text()
    answer, first_table = text.index("- **mixup**: +58.3 points over the plain ConvNeXt"), text.index("| :--")
    assert answer < text.index("## What this is") < first_table
    for picture in re.findall(r"!\[.+\]\((.+)\)", text):
        assert (study / "report" / picture).is_file()


def test_the_terminal_has_the_two_main_tables_and_the_checks_alone_within_80_columns(study: Path) -> None:
    done = run(study)
    lines = done.stdout.splitlines()
    assert sum(line.startswith("──") for line in lines) == 2
    assert [line for line in lines if line.startswith("Check: ")]
    assert max(len(line) for line in lines if not line.startswith("report  ")) <= 80
    assert lines[-1] == f"report    {study / 'report' / 'index.html'}"


def test_the_chance_of_a_false_call_in_several_tables_is_said_on_every_page(study: Path, page: str) -> None:
    words = "the chance of any false call is 5 % in each table, up to 10 % in the 2 together"
    assert words in Reader(page).text
    assert words in (study / "report" / "report.md").read_text()


def test_a_folder_that_was_moved_makes_the_same_report_elsewhere(study: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "copy"
    shutil.copytree(study, moved)
    shutil.rmtree(moved / "report")
    done = run("copy", cwd=moved.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("copy/report/index.html")
    assert (moved / "report" / "index.html").read_text() == (study / "report" / "index.html").read_text()


def test_without_confirmed_runs_the_first_thing_said_is_that_nothing_is_confirmed(tmp_path: Path, no_figures) -> None:
    folder = write_study(tmp_path / "sweep", confirm=False)
    text = Reader(write_report([read_study(folder)], folder / "report").read_text()).text
    said = text.index("Nothing here is confirmed: the sweep only nominates.")
    command = text.index("python sweeps/confirm.py results/sweep --seeds 3")
    assert said < command < text.index("What the sweep nominates:") < text.index("What this is")
    assert text.index("Search results, not confirmed") > text.index("What this is")
    assert (folder / "report" / "tables" / "regularization-ablation.md").is_file()


@pytest.mark.parametrize("page", ["index.html", "report.md"])
def test_of_a_sweep_that_has_not_ended_it_names_the_command_that_ends_it_first(
    tmp_path: Path, no_figures, page: str
) -> None:
    folder = write_study(tmp_path / "sweep", confirm=False)
    log = folder / "events.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))
    text = (write_report([read_study(folder)], folder / "report").parent / page).read_text()
    resume = text.index("python sweeps/regularization.py --resume results/sweep")
    assert resume < text.index("python sweeps/confirm.py results/sweep --seeds 3")
    arms = [arm | {"against": None} for arm in read_study(folder).results.manifest["arms"]]
    edit_json(folder / "manifest.json", reference=None, arms=arms)
    text = (write_report([read_study(folder)], folder / "report").parent / page).read_text()
    assert "python sweeps/architectures.py --resume results/sweep" in text


def test_what_the_figures_are_not_of_is_loud_and_first(tmp_path: Path, no_figures) -> None:
    folder = write_study(tmp_path / "study")
    manifest = read_study(folder).results.manifest
    edit_json(
        folder / "manifest.json",
        data=manifest["data"] | {"stand_in": True},
        split=manifest["split"] | {"test": None},
        trials=20,
    )
    predictions(folder, "mixup", 1, 0).unlink()
    page = write_report([read_study(folder)], folder / "report").read_text()
    alerts = page[page.index('class="alerts"') : page.index('class="headline"')]
    for words in (
        "STAND-IN DATA: procedural sounds",
        "NO TEST FOLD: this preset selects on the fold that it reports",
        "INCOMPLETE: 8 of 20 trials have not ended",
        "INCOMPLETE: missing 1 of 40 confirmed runs (mixup 1).",
    ):
        assert words in alerts


def test_several_sweeps_stand_side_by_side_each_with_its_own_files(tmp_path: Path) -> None:
    first, second = write_study(tmp_path / "a" / "one"), write_study(tmp_path / "b" / "one", confirm=False)
    done = run(first, second, "--out", tmp_path / "joint")
    assert done.returncode == 0, done.stderr
    text = Reader((tmp_path / "joint" / "index.html").read_text()).text
    assert (
        text.index("Of 3 comparisons:") < text.index("Nothing here is confirmed") < text.index("All arms side by side")
    )
    assert text.index("All arms side by side") < text.index("one in detail") < text.index("one-2 in detail")
    joined = (tmp_path / "joint" / "tables" / "all-arms.md").read_text()
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in joined.splitlines() if line.startswith("| one")
    ]
    assert [row[:2] for row in rows[::4]] == [["one", "baseline"], ["one-2", "baseline"]]
    assert [row[-2] for row in rows[4:]] == ["not confirmed"] * 4
    for name in ("one", "one-2"):
        assert (tmp_path / "joint" / "tables" / name / "search.csv").is_file()
        assert (tmp_path / "joint" / "figures" / name / "learning-curves.png").is_file()
    assert not (first / "report").exists()


def test_sweeps_of_different_data_are_told_apart(tmp_path: Path, no_figures) -> None:
    first, second = write_study(tmp_path / "one"), write_study(tmp_path / "two")
    edit_json(second / "manifest.json", data=read_study(second).results.manifest["data"] | {"fingerprint": "other"})
    write_report([read_study(first), read_study(second)], tmp_path / "joint")
    assert "DIFFERENT DATA: these sweeps" in (tmp_path / "joint" / "tables" / "all-arms.md").read_text()


def test_every_confirmed_configuration_stands_side_by_side_and_what_is_missing_is_said(
    tmp_path: Path, no_figures
) -> None:
    first, second = write_study(tmp_path / "one", top=2), write_study(tmp_path / "two")
    predictions(second, "mixup", 1, 0).unlink()
    write_report([read_study(first), read_study(second)], tmp_path / "joint")
    frame = pd.read_csv(tmp_path / "joint" / "tables" / "all-arms.csv")
    assert frame["arm"][frame["sweep"] == "one"].tolist() == [
        label for arm in ("baseline", "convnext", "mixup", "shift") for label in (arm, f"{arm}#2")
    ]
    assert frame["accuracy"].notna().all()
    assert frame["search best"].notna().all()
    told = (tmp_path / "joint" / "tables" / "all-arms.md").read_text()
    assert "two: INCOMPLETE: missing 1 of 40 confirmed runs (mixup 1)." in told


def test_confirmed_runs_that_are_not_of_their_sweep_are_told_side_by_side(tmp_path: Path, no_figures) -> None:
    first, second = write_study(tmp_path / "one"), write_study(tmp_path / "two")
    edit_json(second / "confirm" / "manifest.json", commit="f" * 40)
    lost = np.full((12, 3), np.nan, np.float32)
    np.save(predictions(second, "mixup", 1, 0), lost)
    write_report([read_study(first), read_study(second)], tmp_path / "joint")
    joined = (tmp_path / "joint" / "tables" / "all-arms.md").read_text()
    for words in (
        "two: OTHER CODE: the confirmed runs ran on commit ffffffffff, the sweep on commit 0123456789; none is left",
        "two: DIVERGED: confirmed runs of mixup (1 of 10);",
    ):
        assert words in joined
    assert "one: " not in joined
    data = read_study(second).results.confirmed.manifest["data"] | {"fingerprint": "other"}
    edit_json(second / "confirm" / "manifest.json", data=data)
    write_report([read_study(first), read_study(second)], tmp_path / "joint")
    joined = (tmp_path / "joint" / "tables" / "all-arms.md").read_text()
    assert "two: ALL CONFIRMED RUNS ARE LEFT OUT: OTHER DATA: " in joined
    assert [line.split("|")[-3].strip() for line in joined.splitlines() if line.startswith("| two")] == [
        "not confirmed"
    ] * 4


def test_a_new_report_replaces_the_old_one_whole(tmp_path: Path, no_figures) -> None:
    folder = write_study(tmp_path / "study")
    write_report([read_study(folder)], folder / "report")
    (folder / "report" / "tables" / "stale.csv").write_text("of an earlier report")
    write_report([read_study(folder)], folder / "report")
    assert not (folder / "report" / "tables" / "stale.csv").exists()
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "events.jsonl", "confirm", "report"}


def test_an_interrupted_report_leaves_the_old_one(tmp_path: Path, monkeypatch, no_figures) -> None:
    folder = write_study(tmp_path / "study")
    index = write_report([read_study(folder)], folder / "report")
    before = index.read_text()

    def interrupted(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(analysis.report, "make_figures", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_report([read_study(folder)], folder / "report")
    assert index.read_text() == before
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "events.jsonl", "confirm", "report"}


def test_an_interrupt_at_the_last_moment_leaves_the_old_report(tmp_path: Path, monkeypatch, no_figures) -> None:
    folder = write_study(tmp_path / "study")
    index = write_report([read_study(folder)], folder / "report")
    before, replace = index.stat().st_ino, Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        if target == folder / "report" and not path.name.endswith("-old"):
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_report([read_study(folder)], folder / "report")
    assert index.stat().st_ino == before


def test_a_command_with_a_strangers_name_in_it_does_nothing_else(tmp_path: Path, no_figures) -> None:
    folder = write_study(tmp_path / "sweep", confirm=False)
    edit_json(folder / "manifest.json", name="x; touch owned")
    text = Reader(write_report([read_study(folder)], folder / "report").read_text()).text
    assert "python sweeps/confirm.py 'results/x; touch owned' --seeds 3" in text


def test_a_sweeps_name_does_not_lead_out_of_the_report(tmp_path: Path, no_figures) -> None:
    folder = write_study(tmp_path / "study")
    edit_json(folder / "manifest.json", name="../../out")
    write_report([read_study(folder), read_study(folder)], tmp_path / "a" / "b" / "joint")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["joint"]


def test_sweeps_with_names_that_are_hardly_told_apart_have_folders_of_their_own(tmp_path: Path, no_figures) -> None:
    folders = [write_study(tmp_path / str(number)) for number in range(4)]
    for folder, name in zip(folders, ("a.b", "a-b", "a-b", "a-b-2"), strict=True):
        edit_json(folder / "manifest.json", name=name)
    page = write_report([read_study(folder) for folder in folders], tmp_path / "joint").read_text()
    names = sorted(path.name for path in (tmp_path / "joint" / "tables").iterdir() if path.is_dir())
    assert names == ["a-b", "a-b-2", "a-b-2-2", "a-b-2-2-2"]
    assert all(f"<h1>{name}</h1>" in page for name in ("a.b", "a-b", "a-b-2", "a-b-2-2"))


def test_a_folder_that_is_no_report_is_not_replaced(tmp_path: Path, no_figures) -> None:
    study = read_study(write_study(tmp_path / "study"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(ResultsError, match="is there and is no report: it is not replaced; choose another --out"):
        write_report([study], tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep me"


def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path, no_figures) -> None:
    study = read_study(write_study(tmp_path / "study"))
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match=r"cannot write the report '.*file/report': Not a directory"):
        write_report([study], tmp_path / "file" / "report")


def test_names_are_no_markup(tmp_path: Path, no_figures) -> None:
    folder = write_study(tmp_path / "study")
    data = read_study(folder).results.manifest["data"] | {"title": "<script>alert(1)</script> & more"}
    edit_json(folder / "manifest.json", data=data)
    page = write_report([read_study(folder)], folder / "report").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page


def test_a_folder_that_is_no_results_folder_ends_with_2_and_one_sentence(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 2
    why = "there is no manifest.json in it; name that of a sweep, results/NAME"
    assert done.stderr == f"error: '{tmp_path}' is no results folder: {why}\n"


@pytest.mark.parametrize("confirm", [True, False])
def test_the_tables_of_a_sweeps_end_are_the_main_ones_and_the_checks(tmp_path: Path, confirm: bool) -> None:
    folder, console = write_study(tmp_path / "study", confirm=confirm), captured()
    write_tables(folder, console)
    text = console.file.getvalue()
    assert ("verdict" in text) == confirm
    assert "Check: Training accuracy is more than 20 points above" in text
    assert [line for line in text.splitlines() if line != line.rstrip()] == []
    assert {f"{name}.md" for name in (*MAIN, "search", "budget")} <= {
        path.name for path in (folder / "tables").iterdir()
    }
    assert (folder / "tables" / "search-regularization-ablation.csv").is_file() == confirm
    assert not (folder / "report").exists()


def test_a_sweep_that_was_interrupted_before_its_first_trial_has_a_report(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "sweep", confirm=False)
    (folder / "events.jsonl").unlink()
    done = run(folder)
    assert done.returncode == 0, done.stderr
    lost = "'events.jsonl' is missing or empty: nothing is known of the search's trials."
    assert lost in (folder / "report" / "report.md").read_text()
