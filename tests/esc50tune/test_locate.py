"""Which data `--data` means, and how long its clips are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from esc50tune.data import synthetic
from esc50tune.data.dataset import Clip, Dataset
from esc50tune.data.locate import find_dataset, usual_seconds
from esc50tune.errors import UserError
from tests.conftest import write_dataset

REAL = Path("data") / "ESC-50"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without data, an empty cache, and a stand-in that is quick to write."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ESC50_ROOT", raising=False)
    monkeypatch.setenv("ESC50TUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(synthetic, "make_clip", lambda name, fold, take: np.zeros(1, np.int16))
    return tmp_path


def test_a_named_folder_goes_before_all_others(
    elsewhere: Path, fresh_tones: Path, tones_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESC50_ROOT", str(tones_folder))
    write_dataset(elsewhere / REAL, 1)
    assert find_dataset(str(fresh_tones)).root == fresh_tones
    assert find_dataset("fresh").root == fresh_tones


def test_auto_takes_the_environments_folder_first(
    elsewhere: Path, fresh_tones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESC50_ROOT", str(fresh_tones))
    write_dataset(elsewhere / REAL, 1)
    assert find_dataset("auto").root == fresh_tones


def test_auto_takes_the_downloaded_folder_next(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESC50_ROOT", "")
    write_dataset(elsewhere / REAL, 1)
    found = find_dataset("auto")
    assert found.root == elsewhere / REAL
    assert not found.is_stand_in


def test_auto_takes_the_stand_in_last(elsewhere: Path) -> None:
    found = find_dataset("auto")
    assert found.is_stand_in
    assert found.root.parent == elsewhere / "cache"
    assert len(found.clips) == 400


def test_a_home_folder_is_expanded(elsewhere: Path, fresh_tones: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(elsewhere))
    assert find_dataset("~/fresh").root == fresh_tones
    monkeypatch.setenv("ESC50_ROOT", "~/fresh")
    assert find_dataset("auto").root == fresh_tones


def refuse_to_write(root: Path) -> None:
    pytest.fail("fell back to the stand-in")


@pytest.mark.parametrize("root", ["/no/such/folder", "data/nowhere", "~no-such-user/data", "x" * 300])
@pytest.mark.parametrize("way", ["environment", "option"])
def test_a_folder_that_is_not_there_is_an_error_and_no_reason_to_take_another(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, root: str, way: str
) -> None:
    write_dataset(elsewhere / REAL, 1)
    monkeypatch.setattr(synthetic, "write_stand_in", refuse_to_write)
    if way == "environment":
        monkeypatch.setenv("ESC50_ROOT", root)
    with pytest.raises(UserError) as caught:
        find_dataset("auto" if way == "environment" else root)
    assert f"'{root}'" in str(caught.value)


def test_a_broken_download_is_an_error_and_no_reason_to_take_the_stand_in(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere / REAL).mkdir(parents=True)
    monkeypatch.setattr(synthetic, "write_stand_in", refuse_to_write)
    with pytest.raises(UserError, match=r"esc50\.csv"):
        find_dataset("auto")


def of_lengths(root: Path, seconds: list[float | None]) -> Dataset:
    """Silent clips of these lengths; None is a file that is no audio."""
    (root / "audio").mkdir()
    for i, length in enumerate(seconds):
        path = root / "audio" / f"{i}.wav"
        if length is None:
            path.write_text("no audio")
        else:
            soundfile.write(path, np.zeros(round(length * 1_000)), 1_000)
    return Dataset(root, tuple(Clip(f"{i}.wav", 1, 0, "a", str(i)) for i in range(len(seconds))))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([2.0], 2.0),
        ([1.0, 2.0, 2.0, 3.0], 3.0),  # three in four would be too few
        ([4.0, *[1.0] * 8, 0.5], 1.0),  # neither the longest nor the mean
        ([1.522, 1.518], 1.52),
        ([0.6, 2.0, 2.5, 3.0, 3.5, 4.0, 4.2, 4.4, 4.6, 4.8, 4.9], 4.8),  # all differ: not the first one's
        ([7.2, 7.2, 1.0], 5.0),
        ([5.0, 5.0, 7.2], 5.0),
        ([0.02, 0.02], 0.05),
        ([*range(1, 13)], 5.0),
        ([0.1 * n for n in range(1, 20)], 1.8),
        ([None, None, None, 3.0], 3.0),
        ([None], 5.0),
        ([], 5.0),
    ],
)
def test_nine_in_ten_clips_do_not_exceed_the_usual_length_of_at_most_five_seconds(
    elsewhere: Path, seconds: list[float | None], expected: float
) -> None:
    assert usual_seconds(of_lengths(elsewhere, seconds)) == expected


def test_files_that_tell_no_rate_do_not_count_for_the_usual_length(elsewhere: Path) -> None:
    dataset = of_lengths(elsewhere, [2.0, 3.0])
    (dataset.root / "audio" / "2.raw").write_bytes(bytes(1_000))
    more = Dataset(dataset.root, (*dataset.clips, Clip("2.raw", 1, 0, "a", "2")))
    assert usual_seconds(more) == usual_seconds(dataset)


def test_missing_files_do_not_count_for_the_usual_length(elsewhere: Path) -> None:
    dataset = of_lengths(elsewhere, [2.0, 3.0, 3.0])
    for clip in dataset.clips[1:]:
        dataset.audio_path(clip).unlink()
    assert usual_seconds(dataset) == 2.0


def test_the_usual_length_of_the_tones_is_theirs(tones: Dataset) -> None:
    assert usual_seconds(tones) == 0.25
