"""`python -m esc50tune.data make`: one folder a class becomes a folder that a sweep can run on, or nothing at all."""

from __future__ import annotations

import csv
import errno
import io
import itertools
import os
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from esc50tune.data import check as check_module
from esc50tune.data import make as module
from esc50tune.data.__main__ import main
from esc50tune.data.cache import open_cache
from esc50tune.data.clips import open_search_data
from esc50tune.data.dataset import COLUMNS, read_dataset
from esc50tune.data.folds import deal_folds
from esc50tune.data.make import make
from esc50tune.data.split import search_split
from esc50tune.errors import UserError
from tests.conftest import ended

SHARED = Path(__file__).parents[2].parent / "shared"
SEEDS = itertools.count()


def sound(path: Path, rate: int = 8_000, seconds: float = 0.1, channels: int = 1) -> Path:
    """Write noise that no other file has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(next(SEEDS)).uniform(-0.5, 0.5, (round(rate * seconds), channels))
    soundfile.write(path, noise, rate)
    return path


def sounds(root: Path, names: str) -> Path:
    """Write a sound for each of the paths below `root`."""
    for name in names.split():
        sound(root / name)
    return root


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where a test's folders are, and nothing else."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


@pytest.fixture
def root(place: Path) -> Path:
    """Two classes of five files each."""
    return sounds(place / "raw", " ".join(f"{name}/{i}.wav" for name in ("dog", "cat") for i in range(5)))


def made(root: Path, out: Path, folds: int = 5) -> list[str]:
    """Make `out`, and return what was said meanwhile."""
    console = Console(file=io.StringIO(), width=80)
    make(root, out, folds, console)
    return console.file.getvalue().splitlines()


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    """Return the rows of the csv by file name."""
    with (out / "meta" / "esc50.csv").open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        assert tuple(reader.fieldnames) == COLUMNS
        return {row["filename"]: row for row in reader}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refusal(root: Path, out: Path, folds: int = 5) -> str:
    """Return the sentence with which `make` refuses, after which everything beside `out` is as it was."""
    before = contents(out.parent), sorted(out.parent.rglob("*"))
    with pytest.raises(UserError) as caught:
        made(root, out, folds)
    assert (contents(out.parent), sorted(out.parent.rglob("*"))) == before
    return str(caught.value)


def test_files_are_copied_as_they_are_below_their_classes_which_are_numbered_by_name(root: Path, place: Path) -> None:
    made(root, place / "out")
    rows = rows_of(place / "out")
    assert contents(place / "out" / "audio") == contents(root)
    assert set(rows) == set(contents(root))
    assert {(row["category"], row["target"]) for row in rows.values()} == {("cat", "0"), ("dog", "1")}
    assert all(name.startswith(row["category"] + "/") for name, row in rows.items())
    assert sorted(path.name for path in place.iterdir()) == ["out", "raw"]


def test_each_file_beside_the_others_is_a_source_of_its_own(root: Path, place: Path) -> None:
    said = made(root, place / "out")
    assert len({row["src_file"] for row in rows_of(place / "out").values()}) == 10
    assert any(line.startswith("sources   each file is one") for line in said)


def test_files_of_a_folder_in_a_class_stay_in_one_fold_in_all_classes_that_have_it(root: Path, place: Path) -> None:
    sounds(root, " ".join(f"{name}/park/{i}.wav" for name in ("cat", "dog") for i in range(3)))
    sounds(root, "dog/yard/near/1.wav dog/yard/far/1.wav")
    said = made(root, place / "out")
    rows = rows_of(place / "out")
    sources = defaultdict(set)
    for row in rows.values():
        sources[row["src_file"]].add((row["category"], row["fold"]))
    assert {category for category, _ in sources["park"]} == {"cat", "dog"}
    assert len({fold for _, fold in sources["park"]}) == 1
    assert rows["dog/yard/near/1.wav"]["src_file"] == rows["dog/yard/far/1.wav"]["src_file"] == "yard"
    assert len(sources["yard"]) == 1
    expected = "sources   2 folders of takes (park in several classes) and 10 files outside of them, each one source"
    assert expected in said


def test_the_folds_follow_from_the_names_alone(root: Path, place: Path) -> None:
    other = place / "again"
    for path in sorted(root.rglob("*.wav"), reverse=True):
        (other / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, other / path.parent.name / path.name)
    made(root, place / "one")
    made(other, place / "two")
    assert (place / "one/meta/esc50.csv").read_bytes() == (place / "two/meta/esc50.csv").read_bytes()


def test_what_is_no_audio_is_named_and_left_out_and_hidden_files_are_passed_over(root: Path, place: Path) -> None:
    damaged = sound(root / "dog" / "cut.wav")
    damaged.write_bytes(damaged.read_bytes()[:100])
    for name in ("dog/notes.txt", "dog/x.raw", "readme.md", "dog/.DS_Store", ".hidden/1.wav", "dog/.hidden/1.wav"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"no audio" * 20)
    (root / "empty").mkdir()
    (root / "dog" / "moved.wav").symlink_to("nowhere.wav")
    said = made(root, place / "out")
    assert len(rows_of(place / "out")) == 10
    assert sorted(line for line in said if line.startswith("left out")) == [
        "left out  1 file, in no class's folder: readme.md",
        "left out  1 file, missing: dog/moved.wav",
        "left out  1 file, truncated: dog/cut.wav",
        "left out  2 files, not audio, or damaged: dog/notes.txt, dog/x.raw",
    ]


def test_a_second_copy_of_a_sound_is_left_out_of_its_class(root: Path, place: Path) -> None:
    samples, rate = soundfile.read(root / "dog" / "0.wav", dtype="int16")
    soundfile.write(root / "dog" / "same.flac", samples, rate)
    said = made(root, place / "out")
    assert "dog/same.flac" not in rows_of(place / "out")
    assert "left out  1 file, the same sound as another file of the class: dog/same.flac" in said


def test_a_sound_in_two_classes_is_refused(root: Path, place: Path) -> None:
    shutil.copyfile(root / "dog" / "0.wav", root / "cat" / "x.wav")
    assert "'cat/x.wav' = 'dog/0.wav'" in refusal(root, place / "out")


def test_silent_files_are_no_copies(root: Path, place: Path) -> None:
    for name in ("dog/quiet1.wav", "dog/quiet2.wav", "cat/quiet.wav"):
        soundfile.write(root / name, np.zeros(800), 8_000)
    made(root, place / "out")
    assert len(rows_of(place / "out")) == 13


def test_names_that_a_csv_cannot_hold_are_changed_and_others_kept(root: Path, place: Path) -> None:
    for name in ("dog/12:30.wav", "dog/a\tb.wav", "dog/back\\slash.wav", "Hühner [1]/ö 1.wav", "dog/ x.wav"):
        sound(root / name)
    sounds(root, " ".join(f"Hühner/{i}.wav" for i in range(5)))
    shutil.move(root / "Hühner [1]" / "ö 1.wav", root / "Hühner" / "ö 1.wav")
    made(root, place / "out")
    names = {clip.filename for clip in read_dataset(place / "out").clips}
    assert {"dog/12_30.wav", "dog/a_b.wav", "dog/back_slash.wav", "Hühner/ö 1.wav", "dog/x.wav"} <= names
    assert contents(place / "out" / "audio").keys() == names


def test_a_name_that_is_no_utf_8_is_changed_too(root: Path, place: Path) -> None:
    sound(root / "dog" / "bird.wav")
    try:
        (root / "dog" / "bird.wav").rename(root / os.fsdecode(b"dog/V\xf6gel.wav"))
    except OSError:
        pytest.skip("this file system takes no such names")
    made(root, place / "out")
    assert "dog/V_gel.wav" in {clip.filename for clip in read_dataset(place / "out").clips}


@pytest.mark.parametrize("names", [("dog/a:b.wav", "dog/a_b.wav"), ("do:g/1.wav", "do_g/2.wav")], ids=["file", "class"])
def test_names_that_would_become_one_are_refused(root: Path, place: Path, names: tuple[str, str]) -> None:
    for name in names:
        sound(root / name)
    message = refusal(root, place / "out")
    assert all(name.removesuffix("/1.wav").removesuffix("/2.wav") in message for name in names)
    assert "rename" in message


def test_a_class_with_an_endless_name_is_refused(root: Path, place: Path) -> None:
    sound(root / ("x" * 201) / "1.wav")
    assert "200 characters" in refusal(root, place / "out")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("", "no folder with audio"),
        ("1.wav 2.wav", "no folder with audio"),
        ("dog/1.wav dog/2.wav", "one folder alone ('dog')"),
        ("data/dog/1.wav data/cat/2.wav", "one folder alone ('data')"),
        ("dog/1.wav dog/2.wav dog/3.wav dog/4.wav cat/1.wav cat/2.wav cat/3.wav cat/4.wav cat/5.wav", "dog (4)"),
        ("dog/1.wav cat/1/1.wav cat/1/2.wav cat/1/3.wav cat/1/4.wav cat/1/5.wav", "cat (1), dog (1)"),
    ],
    ids=["empty", "flat", "one class", "nested", "few files", "few folders"],
)
def test_a_folder_without_two_classes_of_enough_sources_is_refused(place: Path, names: str, message: str) -> None:
    (place / "raw").mkdir()
    assert message in refusal(sounds(place / "raw", names), place / "out")


def test_fewer_folds_than_five_are_proposed_where_they_would_do(place: Path) -> None:
    names = [f"{name}/{i}.wav" for name in ("dog", "cat") for i in range(4)]
    root = sounds(place / "raw", " ".join(names))
    assert "--folds 4" in refusal(root, place / "out")
    (root / "dog" / "0.wav").unlink()
    (root / "dog" / "1.wav").unlink()
    assert "--folds" not in refusal(root, place / "out")


def test_a_folder_that_is_there_or_missing_or_in_the_other_is_refused(root: Path, place: Path) -> None:
    assert str(place / "nowhere") in refusal(place / "nowhere", place / "out")
    assert "exists already" in refusal(root, root)
    (place / "dangling").symlink_to("nowhere")
    assert "exists already" in refusal(root, place / "dangling")
    assert "as if it were a class" in refusal(root, root / "out")
    assert "cannot be made" in refusal(root, place / ("x" * 300))
    made(root, place / "out")
    assert "layout already" in refusal(place / "out", place / "other")


def break_off(error: BaseException) -> Callable[[Path, Path], None]:
    """Return a `copyfile` that fails at the third file."""
    calls, copy = itertools.count(1), shutil.copyfile

    def copyfile(source: Path, target: Path) -> None:
        if next(calls) == 3:
            raise error
        copy(source, target)

    return copyfile


def test_nothing_is_left_when_the_disk_gets_full(root: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "copyfile", break_off(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
    assert "No space left" in refusal(root, place / "out")


def test_nothing_is_left_of_an_interrupted_make(
    root: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module.shutil, "copyfile", break_off(KeyboardInterrupt()))
    monkeypatch.setattr(sys, "argv", ["data", "make", str(root), str(place / "out")])
    assert ended(main) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert list(place.iterdir()) == [root]


def test_what_was_made_when_its_check_is_interrupted_is_complete_and_said_to_be(
    root: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def check(folder: Path, console: Console) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(check_module, "check", check)
    monkeypatch.setattr(sys, "argv", ["data", "make", str(root), str(place / "out")])
    assert ended(main) == 130
    assert f"{place / 'out'} is complete; `python -m esc50tune.data check" in capsys.readouterr().err
    assert read_dataset(place / "out").clips


def test_the_room_is_measured_before_anything_is_copied(
    root: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: SimpleNamespace(free=5_000))
    message = refusal(root, place / "out")
    assert "16.4 kB" in message  # ten files of 800 samples of 2 bytes, and 44 bytes of header
    assert "5.0 kB" in message


def test_what_was_made_of_many_rates_and_lengths_is_checked_and_can_be_searched_on(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    formats = itertools.product((8_000, 16_000, 22_050, 44_100, 48_000), (0.3, 1.0), (1, 2))
    for i, (rate, seconds, channels) in enumerate(formats):
        for name in ("a", "b", "c"):
            sound(place / "raw" / name / f"{i}.wav", rate, seconds, channels)
    monkeypatch.setattr(sys, "argv", ["data", "make", str(place / "raw"), str(place / "new" / "out")])
    assert ended(main) == 0
    out, err = capsys.readouterr()
    assert not err
    assert "warning" not in out
    assert out.splitlines()[-1].endswith(f"python sweeps/regularization.py --data {place / 'new' / 'out'}")
    dataset = read_dataset(place / "new" / "out")
    data = open_search_data(open_cache(dataset, 8_000, 0.5), search_split(dataset, 5, 4))
    assert (len(data.train), len(data.val), data.train.left_out, data.val.left_out) == (36, 12, 0, 0)


@pytest.mark.parametrize(("folds", "code"), [("3", 0), ("10", 2), ("2", 2), ("11", 2), ("x", 2)])
def test_there_are_as_many_folds_as_asked_for(
    root: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folds: str, code: int
) -> None:
    monkeypatch.setattr(sys, "argv", ["data", "make", str(root), str(place / "out"), "--folds", folds])
    try:
        assert ended(main) == code
    except SystemExit as end:
        assert end.code == code
    out, err = capsys.readouterr()
    assert (place / "out").exists() is (code == 0)
    if code:
        assert folds in err
    else:
        assert {row["fold"] for row in rows_of(place / "out").values()} == {"1", "2", "3"}
        assert "--test-fold 3 --val-fold 2" in out


def test_clips_of_their_own_are_spread_evenly_over_folds_in_each_class_and_in_all() -> None:
    classes = ["a"] * 8 + ["b"] * 11 + ["c"] * 5
    fold_of = deal_folds(classes, [str(i) for i in range(24)], 5)
    cells = Counter((name, fold_of[str(i)]) for i, name in enumerate(classes))
    assert all(cells[name, fold] in counts for fold in range(1, 6) for name, counts in (("a", (1, 2)), ("b", (2, 3))))
    assert all(cells["c", fold] == 1 for fold in range(1, 6))
    assert sorted(Counter(fold_of.values()).values()) == [4, 5, 5, 5, 5]


def test_large_sources_are_dealt_first_and_small_ones_fill_up() -> None:
    sizes = {"tiny": 1, "small": 1, "middle": 2, "large": 3, "huge": 5}
    sources = [source for source, size in sizes.items() for _ in range(size)]
    fold_of = deal_folds(["a"] * 12, sources, 3)
    # 5; 3; 2, then 1 to the fold of 2, and 1 to one of the two folds of 3
    assert (fold_of["huge"], fold_of["large"], fold_of["middle"], fold_of["small"]) == (1, 2, 3, 3)
    assert fold_of["tiny"] == 2


def test_a_source_of_several_classes_goes_where_the_squares_of_their_shares_sum_to_the_least() -> None:
    fold_of = deal_folds(["a"] * 5 + ["b", "b", "a", "b"], ["A"] * 5 + ["B", "B", "S", "S"], 2)
    assert (fold_of["A"], fold_of["B"]) == (1, 2)
    # With S in fold 1 the shares are 6/6 and 0, 1/3 and 2/3: 1.56. In fold 2 they are 5/6 and 1/6, 0 and 3/3: 1.72.
    assert fold_of["S"] == 1


@pytest.mark.parametrize("name", ["esc10", "esc50-16k"])
def test_real_sources_are_spread_as_evenly_as_the_official_folds(name: str) -> None:
    if not (SHARED / name).is_dir():
        pytest.skip(f"no real recordings in shared/{name}")
    clips = read_dataset(SHARED / name).clips
    fold_of = deal_folds([clip.category for clip in clips], [clip.src_file for clip in clips], 5)
    assert set(Counter((clip.category, fold_of[clip.src_file]) for clip in clips).values()) == {8}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)), min_size=1, max_size=60), st.randoms())
@settings(max_examples=60)
def test_every_class_with_enough_sources_gets_into_every_fold_in_whatever_order_clips_come(clips: list, random) -> None:
    clips = [(name, f"{name}{source}") for name, source in clips]
    fold_of = deal_folds(*zip(*clips, strict=True), 4)
    sources, folds = defaultdict(set), defaultdict(set)
    for name, source in clips:
        sources[name].add(source)
        folds[name].add(fold_of[source])
    assert all(len(folds[name]) == min(4, len(found)) for name, found in sources.items())
    random.shuffle(clips)
    assert deal_folds(*zip(*clips, strict=True), 4) == fold_of
