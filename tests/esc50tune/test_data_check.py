"""`python -m esc50tune.data check`: what it says of sound folders, and of spoiled ones."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console

from esc50tune.data import lines
from esc50tune.data.__main__ import main
from esc50tune.data.cache import open_cache
from esc50tune.data.check import check
from esc50tune.data.dataset import COLUMNS, read_dataset
from esc50tune.data.examine import examine
from esc50tune.data.lines import counted, say, watched
from esc50tune.data.locate import usual_seconds
from esc50tune.errors import UserError
from tests.conftest import RATE, ended, write_dataset

ESC10 = Path(__file__).parents[2].parent / "shared" / "esc10"
Rows = list[dict[str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five folds of three classes, two clips each: `FOLD-SOURCE-TAKE-TARGET.wav`."""
    return write_dataset(tmp_path / "data", clips_a_fold=2)


def change(folder: Path, edit: Callable[[Rows], Rows | None]) -> None:
    """Edit the rows of the csv in place, or return others."""
    path = folder / "meta" / "esc50.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows = edit(rows) or rows
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def put(folder: Path, name: str, samples: np.ndarray, rate: int = RATE, subtype: str = "FLOAT") -> None:
    soundfile.write(folder / "audio" / name, samples, rate, subtype=subtype, format="WAV")


def noise(seed: int, size: int = RATE) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, size)


class Said:
    """What `check` returned and printed."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        console = Console(file=io.StringIO(), width=100)
        self.is_sound = check(folder, console)
        self.lines = console.file.getvalue().splitlines()
        self.errors = [line.removeprefix("error: ") for line in capsys.readouterr().err.splitlines()]
        self.warnings = [line.removeprefix("warning: ") for line in self.lines if line.startswith("warning: ")]

    def line(self, label: str) -> str:
        (found,) = [line for line in self.lines if line.startswith(label)]
        return found


@pytest.fixture
def said(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[], Said]:
    return lambda: Said(folder, capsys)


def test_of_a_sound_folder_it_says_what_there_is_and_which_command_is_next(folder: Path, said) -> None:
    found = said()
    assert found.is_sound
    assert not found.errors
    assert not found.warnings
    assert found.line("low").split() == ["low", *"22222", "10"]
    assert found.line("all").split() == ["all", *"66666", "30"]
    assert "data (30 clips, 3 classes), recorded at 8,000 Hz" in found.line("Data:")
    assert found.line("channels").split(maxsplit=1)[1] == "1 (30 clips)"
    assert found.line("formats").split(maxsplit=1)[1] == "WAV PCM_16 (30 clips)"
    assert found.line("sources").split() == ["sources", "15"]
    assert "1, 2, 3 train (18 clips), 4 selects (6), 5 tests (6)" in found.line("folds")
    assert found.line("folds").endswith("20.4 points")  # sqrt(.25 / 6)
    assert "6 clips" in found.line("classes")
    assert "pads 30 clips and cuts 0 to 0.4 s" in found.line("Data:")
    command = f"python sweeps/regularization.py --data {folder} --set clip_seconds=0.4"  # they are .25 s long
    assert found.lines[-2:] == [
        "no clip is silent, clipped or there twice, no source in several folds",
        f"a sweep can run on it: {command}",
    ]


def test_it_counts_as_a_sweep_does_which_clips_are_padded_and_cut(folder: Path, said) -> None:
    lengths = [0.3, 0.6, 0.795, *[0.8] * 24, 0.805, 1.5, 1.5]  # 5 ms more or less are not worth a word
    for i, path in enumerate(sorted((folder / "audio").iterdir())):
        rate = (44_100, 8_000, 11_025)[i % 3]
        put(folder, path.name, noise(i, round(rate * lengths[i])), rate)
    dataset = read_dataset(folder)
    assert usual_seconds(dataset) == 0.8
    sweeps = open_cache(dataset, 8_000, 0.8).facts
    assert (sweeps["padded"], sweeps["cut"]) == (2, 2)
    found = said()
    assert "recorded at 8,000, 11,025, 44,100 Hz; a sweep pads 2 clips and cuts 2 to 0.8 s" in found.line("Data:")
    assert found.line("lengths") == "lengths   0.3 s the shortest, 0.8 s the median, 1.5 s the longest"
    assert found.line("rates") == "rates     8,000 Hz (10 clips), 11,025 Hz (10 clips), 44,100 Hz (10 clips)"
    assert found.lines[-1].endswith(str(folder))


@pytest.mark.skipif(not ESC10.is_dir(), reason="no real recordings in shared/esc10")
def test_of_esc10_it_says_what_its_readme_does(capsys: pytest.CaptureFixture[str]) -> None:
    found = Said(ESC10, capsys)
    assert found.is_sound
    assert not found.warnings
    assert "pads 9 clips and cuts 8 to 5 s" in found.line("Data:")
    assert found.line("lengths") == "lengths   3.6 s the shortest, 5 s the median, 7.2 s the longest"
    assert "OGG VORBIS (400 clips)" in found.line("formats")


def test_each_row_that_is_wrong_has_a_line(folder: Path, said) -> None:
    def spoil(rows: Rows) -> None:
        rows[0]["fold"], rows[3]["target"], rows[7]["src_file"] = "one", "x", ""

    change(folder, spoil)
    found = said()
    assert not found.is_sound
    assert [re.sub(r".*, (line \d+).*", r"\1", error) for error in found.errors] == ["line 2", "line 5", "line 9"]
    assert "fold 'one'" in found.errors[0]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda csv: csv.write_text("filename,split,target,category,src_file\na.wav,1,0,dog,s\n"),
        lambda csv: csv.write_bytes(b"\xff\xfe\x00"),
        lambda csv: csv.write_text(""),
        lambda csv: (csv.unlink(), csv.mkdir()),
        lambda csv: csv.write_text(csv.read_text().replace("wav,2,", "wav,1,").splitlines()[0] + "\n"),
    ],
    ids=["column", "bytes", "empty", "folder", "header"],
)
def test_a_csv_that_cannot_be_read_has_one_line(folder: Path, said, spoil: Callable[[Path], None]) -> None:
    spoil(folder / "meta" / "esc50.csv")
    found = said()
    assert not found.is_sound
    assert len(found.errors) == 1
    assert "esc50.csv" in found.errors[0]


def test_a_folder_without_csv_is_told_what_makes_one(tmp_path: Path) -> None:
    folder = tmp_path / "my sounds"
    folder.mkdir()
    with pytest.raises(UserError) as error:
        read_dataset(folder)
    assert f"`python -m esc50tune.data make '{folder}' OUT`" in str(error.value)


@pytest.mark.parametrize("name", ["nowhere", "x" * 300])
def test_a_folder_that_is_not_there_is_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = Said(tmp_path / name, capsys)
    assert not found.is_sound
    assert len(found.errors) == 1
    assert name in found.errors[0]


def test_clips_that_cannot_be_used_are_named_by_what_is_wrong_with_them_the_most_first(folder: Path, said) -> None:
    names = sorted(path.name for path in (folder / "audio").iterdir())
    for name in names[:12]:
        (folder / "audio" / name).unlink()
    (folder / "audio" / names[12]).write_bytes(b"")
    for name in names[13:15]:
        (folder / "audio" / name).write_bytes(b"no audio")
    put(folder, names[15], np.array([0.0, np.nan]))
    found = said()
    assert not found.is_sound
    assert [error.split(":")[0] for error in found.errors[:2]] == [
        "12 clips, missing",
        "2 clips, not audio, or damaged",
    ]
    assert sorted(error.split(":")[0] for error in found.errors[2:]) == [
        "1 clip, empty file",
        "1 clip, samples that are not numbers",
    ]
    assert f"{names[0]}, {names[1]}, " in found.errors[0]
    assert f"{names[9]} and 2 more" in found.errors[0]
    assert names[10] not in found.errors[0]
    assert found.lines[-1] == "no sweep can run on it"
    assert "14 clips" in found.line("rates")


@pytest.mark.parametrize(
    ("folds", "message"),
    [("1", "1 fold: a sweep trains, selects and tests"), ("12", "2 folds: a sweep trains, selects"), ("135", None)],
    ids=["one", "two", "three"],
)
def test_a_sweep_needs_three_folds_whatever_their_numbers(folder: Path, said, folds: str, message: str | None) -> None:
    change(folder, lambda rows: [row for row in rows if row["fold"] in folds])
    found = said()
    assert found.is_sound == (message is None)
    if message:
        assert message in found.errors[0]
    else:
        assert f"--data {folder} --test-fold 5 --val-fold 3" in found.lines[-1]


def test_folds_that_begin_with_0_need_flags(folder: Path, said) -> None:
    change(folder, lambda rows: [row | {"fold": str(int(row["fold"]) - 1)} for row in rows])
    found = said()
    assert found.is_sound
    assert f"--data {folder} --test-fold 4 --val-fold 3" in found.lines[-1]


def test_a_class_without_a_clip_to_train_on_stops_a_sweep(folder: Path, said) -> None:
    change(folder, lambda rows: [row for row in rows if row["category"] != "low" or row["fold"] in "45"])
    found = said()
    assert not found.is_sound
    assert "class 'low' has no clip" in found.errors[0]
    assert any("'low' (1, 2, 3)" in warning for warning in found.warnings)


def test_a_class_that_a_fold_lacks_is_named_with_the_fold(folder: Path, said) -> None:
    change(folder, lambda rows: [row for row in rows if (row["category"], row["fold"]) != ("low", "4")])
    found = said()
    assert found.is_sound
    (warning,) = [warning for warning in found.warnings if "without a clip" in warning]
    assert warning.endswith("'low' (4)")


def test_folds_that_cannot_be_tested_are_named(folder: Path, said) -> None:
    change(folder, lambda rows: [row for row in rows if row["category"] != "low" or row["fold"] == "2"])
    found = said()
    assert found.is_sound
    assert any(warning.startswith("sweeps/confirm.py cannot test on fold 2:") for warning in found.warnings)


def test_a_source_in_several_folds_is_named_with_what_a_sweep_leaves_out(folder: Path, said) -> None:
    def leak(rows: Rows) -> None:
        first, last = rows[0], rows[-1]
        assert (first["fold"], last["fold"]) == ("1", "5")
        first["src_file"] = last["src_file"]  # fold 1 trains, 5 tests: the clip of fold 1 gives way

    change(folder, leak)
    found = said()
    assert found.is_sound
    (warning,) = found.warnings
    assert warning.startswith("1 source with clips in several folds: 520;")
    assert warning.endswith("1 clip here")
    assert "(17 clips)" in found.line("folds")
    assert "'low', 5 clips;" in found.line("classes")


def clip_of(rows: Rows, category: str, fold: str) -> list[dict[str, str]]:
    return [row for row in rows if (row["category"], row["fold"]) == (category, fold)]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (("high", "1"), "the same sound in several classes"),
        (("low", "3"), "the same sound in several folds"),
        (("low", "1"), "the same sound several times"),
    ],
)
@pytest.mark.parametrize("file_format", ["WAV", "FLAC"])
def test_the_same_samples_are_found_in_any_format(
    folder: Path, said, second: tuple, words: str, file_format: str
) -> None:
    names = []
    change(
        folder,
        lambda rows: names.extend([clip_of(rows, "low", "1")[0]["filename"], clip_of(rows, *second)[-1]["filename"]]),
    )
    samples, rate = soundfile.read(folder / "audio" / names[0])
    soundfile.write(folder / "audio" / names[1], samples, rate, format=file_format)
    found = said()
    assert found.is_sound
    (warning,) = found.warnings
    assert warning.startswith(words)
    assert f"{names[0]} = {names[1]}" in warning


def test_copies_in_one_fold_are_no_leak_whatever_their_sources(folder: Path, said) -> None:
    def two_sources(rows: Rows) -> None:
        first, second = clip_of(rows, "low", "1")
        second["src_file"] = "another"
        shutil.copyfile(folder / "audio" / first["filename"], folder / "audio" / second["filename"])

    change(folder, two_sources)
    (warning,) = said().warnings
    assert warning.startswith("the same sound several times")


def test_copies_of_one_source_in_several_folds_are_no_leak_that_a_sweep_does_not_know(folder: Path, said) -> None:
    def same_source(rows: Rows) -> None:
        first, second = clip_of(rows, "low", "1")[0], clip_of(rows, "low", "3")[0]
        second["src_file"] = first["src_file"]
        shutil.copyfile(folder / "audio" / first["filename"], folder / "audio" / second["filename"])

    change(folder, same_source)
    leak, copies = said().warnings
    assert leak.startswith("1 source with clips in several folds")
    assert copies.startswith("the same sound several times")


QUIET = 10 ** (-61 / 20)
TONE = np.sin(np.arange(RATE) * 0.7)


@pytest.mark.parametrize(
    ("samples", "is_silent"),
    [
        (np.zeros(RATE), True),
        (QUIET * TONE, True),
        (10 ** (2 / 20) * QUIET * TONE, False),
        (0.3 + QUIET * TONE, True),  # a constant is not heard
        (np.stack([0.5 * TONE, -0.5 * TONE], 1), True),  # the channels' mean is what a sweep hears
        (np.stack([0.5 * TONE, 0 * TONE], 1), False),
    ],
    ids=["zeros", "-61 dB", "-59 dB", "constant", "opposite channels", "one channel"],
)
def test_a_clip_is_silent_when_nothing_of_it_is_heard(folder: Path, said, samples: np.ndarray, is_silent: bool) -> None:
    name = sorted(path.name for path in (folder / "audio").iterdir())[0]
    put(folder, name, samples)
    found = said()
    assert found.is_sound
    assert found.warnings == ([f"1 silent clip, with nothing above -60 dB of full scale: {name}"] if is_silent else [])


def test_silent_clips_are_no_copies_of_each_other(folder: Path, said) -> None:
    for path in (folder / "audio").iterdir():
        put(folder, path.name, np.zeros(RATE))
    (warning,) = said().warnings
    assert warning.startswith("30 silent clips")


@pytest.mark.parametrize(
    ("samples", "is_clipped"),
    [
        (32_767 / 32_768 * TONE, False),  # fills the 16 bits
        (np.clip(1.01 * TONE, -1, 1), True),
        (np.clip(1.01 * TONE, -0.9, 0.9), False),
        (2 * TONE, True),  # beyond full scale, which floats can be
        (-np.abs(np.clip(1.01 * TONE, -1, 1)), True),
        (np.abs(np.clip(1.01 * TONE, -1, 1)), True),
        (np.where(np.arange(RATE) % 1_000 < 9, 1, 0.5 * TONE), False),
        (np.where(np.arange(RATE) % 1_000 < 11, 1, 0.5 * TONE), True),
    ],
    ids=["full", "clipped", "squashed", "beyond", "below", "above", "0.9 %", "1.1 %"],
)
@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_16"])
def test_a_clip_is_clipped_when_it_stays_at_full_scale(
    folder: Path, said, samples, is_clipped: bool, subtype: str
) -> None:
    name = sorted(path.name for path in (folder / "audio").iterdir())[0]
    put(folder, name, samples, subtype=subtype)
    assert [warning.split(",")[0] for warning in said().warnings] == ["1 clipped clip"] * is_clipped


@pytest.mark.parametrize(("seconds", "share"), [(10.0, None), (15.0, "38 %")])
def test_long_recordings_of_which_a_sweep_hears_little_are_worth_a_word(
    folder: Path, said, seconds: float, share: str | None
) -> None:
    for seed, path in enumerate((folder / "audio").iterdir()):
        put(folder, path.name, noise(seed, round(1_000 * (seconds if seed % 2 else 1.0))), 1_000)
    assert [share in warning and "the first 5 s" in warning for warning in said().warnings] == [True] * bool(share)


def test_classes_that_their_rates_tell_apart_are_named(folder: Path, said) -> None:
    for seed, path in enumerate((folder / "audio").glob("*-1.wav")):
        put(folder, path.name, noise(seed, 12_000), 48_000)
    (warning,) = said().warnings
    assert "'low' (8,000 Hz) and 'middle' (48,000 Hz)" in warning
    assert "--set sample_rate=8000" in warning
    (path,) = list((folder / "audio").glob("1-*-A-1.wav"))
    put(folder, path.name, noise(99), 8_000)
    assert not said().warnings


def test_a_class_with_many_more_clips_than_another_is_named_with_its_share(folder: Path, said) -> None:
    change(folder, lambda rows: [row for i, row in enumerate(rows) if row["category"] != "low" or i % 2])
    assert not said().warnings[:-1]  # twice as many are not worth a word; the last names the files that are left
    change(folder, lambda rows: [row for row in rows if row["category"] != "low" or row["fold"] in "12"])
    assert any("'middle' has 10 clips, 'low' 2" in warning and "45 %" in warning for warning in said().warnings)


def test_files_that_no_row_names_are_listed_without_hidden_ones(folder: Path, said) -> None:
    (folder / "audio" / "more").mkdir()
    (folder / "audio" / ".cache").mkdir()
    for name in ("more/new.wav", ".DS_Store", ".cache/x.wav", "evil\x1b[31m.wav"):
        (folder / "audio" / name).write_bytes(b"")
    (warning,) = said().warnings
    assert warning == r"files of audio/ that no row of the csv names: evil\x1b[31m.wav, more/new.wav"


@pytest.mark.parametrize("spoiled", [False, True])
def test_the_command_exits_with_2_when_no_sweep_can_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], spoiled: bool
) -> None:
    if spoiled:
        (folder / "meta" / "esc50.csv").unlink()
    monkeypatch.setattr(sys, "argv", ["data", "check", str(folder)])
    assert ended(main) == (2 if spoiled else 0)
    out, err = capsys.readouterr()
    assert ("a sweep can run on it" in out) is not spoiled
    assert bool(err) is spoiled


def test_a_terminal_breaks_lines_between_words_and_commands_and_files_nowhere() -> None:
    def told(is_terminal: bool, whole: bool) -> str:
        console = Console(file=io.StringIO(), force_terminal=is_terminal, width=20)
        say(console, "left out  3 files, damaged: rain/notes.txt", whole)
        return console.file.getvalue()

    assert list(map(str.strip, told(True, False).splitlines())) == ["left out  3 files,", "damaged:", "rain/notes.txt"]
    assert told(True, True) == told(False, False) == "left out  3 files, damaged: rain/notes.txt\n"


@pytest.mark.parametrize(
    ("patience", "is_terminal", "has_bar"), [(-1.0, True, True), (60.0, True, False), (-1.0, False, False)]
)
def test_a_bar_is_shown_to_a_terminal_that_waits(
    monkeypatch: pytest.MonkeyPatch, patience: float, is_terminal: bool, has_bar: bool
) -> None:
    monkeypatch.setattr(lines, "PATIENCE", patience)
    monkeypatch.setitem(os.environ, "TERM", "xterm")
    console = Console(file=io.StringIO(), force_terminal=is_terminal, force_interactive=is_terminal)
    assert list(watched(iter([1, 2, 3]), 3, "listening", console)) == [1, 2, 3]
    assert ("listening" in console.file.getvalue()) is has_bar
    assert is_terminal or not console.file.getvalue()


@pytest.mark.parametrize(("number", "words"), [(0, "0 clips"), (1, "1 clip"), (2_000, "2,000 clips")])
def test_one_is_singular(number: int, words: str) -> None:
    assert counted(number, "clip") == words


def test_a_sound_is_told_by_rate_and_samples(tmp_path: Path) -> None:
    samples = noise(1)
    for name, rate in (("a.wav", 8_000), ("b.wav", 8_000), ("c.wav", 16_000)):
        soundfile.write(tmp_path / name, samples, rate)
    a, b, c = (examine(tmp_path / name) for name in ("a.wav", "b.wav", "c.wav"))
    assert a == b
    assert a.digest != c.digest
    assert (a.rate, a.channels, a.seconds, a.form) == (8_000, 1, 1.0, "WAV PCM_16")
    assert c.seconds == 0.5
