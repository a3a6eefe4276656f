"""Folders of data with damaged tables and damaged recordings are read or refused; never anything else."""

from __future__ import annotations

import csv
import io
import resource
import struct
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from esc50tune.data.audio import BadAudio, Recording, fit_clip, ratio, read_recording
from esc50tune.data.cache import INDEX, ClipCache
from esc50tune.data.dataset import COLUMNS, Dataset, read_dataset
from esc50tune.errors import UserError
from tests.fuzz.damage import TEXTS, accepted_or_refused, damaged_bytes, inputs

RATE = 8_000
ROWS = [
    (f"{fold}-{target}.wav", str(fold), str(target), f"class {target}", "a") for fold in (1, 2) for target in (0, 1)
]
FORMATS = {"WAV": "PCM_16", "WAVEX": "FLOAT", "FLAC": "PCM_16", "OGG": "VORBIS", "AIFF": "PCM_16", "AU": "PCM_16"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fuzz")
    (root / "meta").mkdir()
    (root / "audio").mkdir()
    return root


def table(rows: list[tuple[str, ...]], quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=quoting).writerows(rows)
    return text.getvalue().encode(errors="surrogatepass")


def read(folder: Path, content: bytes) -> None:
    (folder / "meta" / "esc50.csv").write_bytes(content)
    with accepted_or_refused():
        check_names(read_dataset(folder))


def check_names(dataset: Dataset) -> None:
    """Check that every clip lies inside of `audio/`, and that nothing in the table breaks a line."""
    inside = (dataset.root / "audio").resolve()
    for clip in dataset.clips:
        assert dataset.audio_path(clip).resolve().is_relative_to(inside)
        assert all(len(text.splitlines()) == 1 for text in (clip.filename, clip.category, clip.src_file))


@inputs(few=60, percent=4)
@given(content=damaged_bytes(table([COLUMNS, *ROWS])))
def test_any_bytes_of_a_table(folder: Path, content: bytes) -> None:
    read(folder, content)


CELLS = st.one_of(TEXTS, st.sampled_from(["-1", "٣", "1e3", "²", "C:x", "..\\x", "a/../../x", "./x", "x//y", "\ufeff"]))


@inputs(few=60, percent=4)
@given(data=st.data())
def test_any_cells_of_a_table(folder: Path, data: st.DataObject) -> None:
    rows = [list(row) for row in (COLUMNS, *ROWS)]
    for _ in range(data.draw(st.integers(1, 3))):
        row = data.draw(st.sampled_from(rows))
        how = data.draw(st.sampled_from(["other", "more", "fewer"]))
        place = data.draw(st.integers(0, max(len(row) - 1, 0)))
        if how == "more":
            row.insert(place, data.draw(st.one_of(CELLS, st.sampled_from(COLUMNS))))
        elif row:
            row[place : place + 1] = [data.draw(CELLS)] if how == "other" else []
    read(folder, table(rows, data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))))


@inputs(few=40, percent=0.5)
@given(data=st.data())
def test_any_bytes_of_the_index_of_a_cache(folder: Path, tones_cache: ClipCache, data: st.DataObject) -> None:
    (folder / INDEX).write_bytes(data.draw(damaged_bytes((tones_cache.folder / INDEX).read_bytes())))
    with accepted_or_refused():
        assert ClipCache.at(folder).folder == folder


PARTS = st.lists(st.sampled_from(["..", ".", "", "a", "audio", "C:", "~", " ", "..."]), min_size=1, max_size=4)


@inputs(few=60, percent=1)
@given(name=st.builds(str.join, st.sampled_from(["/", "\\"]), PARTS))
def test_any_path_of_a_recording_stays_inside(folder: Path, name: str) -> None:
    read(folder, table([COLUMNS, (name, *ROWS[0][1:]), *ROWS[1:]]))


def encoded(file_format: str, channels: int = 1) -> bytes:
    buffer, t = io.BytesIO(), np.arange(RATE // 4) / RATE
    tone = np.tile(0.5 * np.sin(2 * np.pi * 440 * t)[:, None], (1, channels))
    soundfile.write(buffer, tone, RATE, format=file_format, subtype=FORMATS[file_format])
    return buffer.getvalue()


@pytest.mark.parametrize("file_format", FORMATS)
@inputs(few=15, percent=2)
@given(data=st.data())
def test_any_header_of_a_recording(folder: Path, file_format: str, data: st.DataObject) -> None:
    path = folder / "audio" / "a"
    path.write_bytes(data.draw(damaged_bytes(encoded(file_format), end=data.draw(st.sampled_from([60, 200, 4_000])))))
    tracemalloc.start()
    try:
        with accepted_or_refused((BadAudio,)):
            recording = read_recording(path)
            assert np.isfinite(recording.samples).all()
            assert fit_clip(recording, RATE, RATE // 4).shape == (RATE // 4,)
        assert tracemalloc.get_traced_memory()[1] < 2**26  # a quarter of a second is announced as whatever you like
    finally:
        tracemalloc.stop()


def claiming(file_format: str, frames: int) -> bytes:
    """Return a recording of 2,000 frames whose header announces others."""
    content = bytearray(encoded(file_format))
    if file_format == "WAV":
        content[4:8] = content[40:44] = struct.pack("<I", 2 * frames)
    else:  # STREAMINFO has a count of 36 bits that end with byte 25
        content[21] = content[21] & 0xF0 | frames >> 32
        content[22:26] = struct.pack(">I", frames & 0xFFFFFFFF)
    return bytes(content)


@pytest.mark.parametrize(
    ("file_format", "frames"), [("WAV", 2**30), ("WAV", 2**31 - 1), ("FLAC", 2**31), ("FLAC", 2**35)]
)
def test_a_recording_that_claims_gigabytes_takes_no_memory(tmp_path: Path, file_format: str, frames: int) -> None:
    (tmp_path / "a").write_bytes(claiming(file_format, frames))
    tracemalloc.start()
    try:
        with accepted_or_refused((BadAudio,)):
            read_recording(tmp_path / "a")
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rate", [44_099, 22_255, 999_983, 1_009])
def test_rates_without_a_common_factor_are_resampled_in_little_memory(rate: int) -> None:
    tone = np.sin(2 * np.pi * 200 * np.arange(rate) / rate).astype(np.float32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    clip = fit_clip(Recording(tone, rate, 1), 44_100, 44_100)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes; the other filters would take gigabytes
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 2**30
    spectrum = np.abs(np.fft.rfft(clip * np.hanning(len(clip))))
    assert spectrum.argmax() == 200


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (44_100, 8_000, (441, 80)),
        (48_000, 44_100, (160, 147)),
        (192_000, 11_025, (2_560, 147)),
        (44_101, 44_100, (1, 1)),
    ],
)
def test_rates_in_use_keep_their_exact_ratio(old: int, new: int, expected: tuple[int, int]) -> None:
    assert ratio(old, new) == expected


@inputs(few=100, percent=1)
@given(old=st.integers(100, 1_000_000), new=st.integers(1_000, 192_000))
def test_no_ratio_of_rates_is_off_by_a_thousandth_or_large(old: int, new: int) -> None:
    a, b = ratio(old, new)
    assert a * b <= 10**6
    assert abs(a * new / (b * old) - 1) < 1e-3


@pytest.mark.parametrize("rate", [0, 1, 99, 1_000_001, 2**31 - 1])
def test_a_rate_that_no_recording_has_is_refused(tmp_path: Path, rate: int) -> None:
    content = bytearray(encoded("WAV"))
    content[24:28] = struct.pack("<I", rate)
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(BadAudio):
        read_recording(tmp_path / "a.wav")


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_that_is_there_twice_is_named(folder: Path, column: str) -> None:
    (folder / "meta" / "esc50.csv").write_bytes(table([(*COLUMNS, column), *((*row, "1") for row in ROWS)]))
    with pytest.raises(UserError, match=f"has more than one column '{column}'"):
        read_dataset(folder)


@pytest.mark.parametrize("name", ["a\nb.wav", "a\rb.wav", "a\0b.wav", "a\x1b[2Jb.wav", "a\u2028b.wav"])
def test_a_name_that_breaks_a_line_or_talks_to_the_terminal_is_refused(folder: Path, name: str) -> None:
    (folder / "meta" / "esc50.csv").write_bytes(table([COLUMNS, (name, *ROWS[0][1:]), *ROWS[1:]], csv.QUOTE_ALL))
    with pytest.raises(UserError, match="control character") as caught:
        read_dataset(folder)
    assert str(caught.value).isprintable()
