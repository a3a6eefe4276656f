"""Reading `meta/esc50.csv`: what is accepted, and what each mistake is called."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from esc50tune.data.dataset import COLUMNS, MARK, Dataset, read_dataset
from esc50tune.errors import UserError

ROWS = [("a.wav", "1", "0", "dog", "s1"), ("b.wav", "2", "1", "rooster", "s2")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data" / "audio").mkdir(parents=True)
    (tmp_path / "data" / "meta").mkdir()
    return tmp_path / "data"


def csv_of(folder: Path) -> Path:
    return folder / "meta" / "esc50.csv"


def write_rows(folder: Path, rows: list[tuple[str, ...]], columns: tuple[str, ...] = COLUMNS) -> None:
    with csv_of(folder).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])


def refusal(root: Path) -> str:
    """Return the one sentence with which `root` is refused."""
    with pytest.raises(UserError) as caught:
        read_dataset(root)
    message = str(caught.value)
    assert "\n" not in message.strip()
    assert "Traceback" not in message
    return message


def test_a_missing_folder_is_named_with_the_layout_it_should_have(tmp_path: Path) -> None:
    message = refusal(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in message
    assert "meta/esc50.csv" in message


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert str(tmp_path / "file") in refusal(tmp_path / "file")


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    assert f"the folder '{tmp_path / ('x' * 300)}' cannot be read" in refusal(tmp_path / ("x" * 300))


def test_a_folder_without_a_csv_is_told_where_the_csv_belongs(folder: Path) -> None:
    message = refusal(folder)
    assert str(csv_of(folder)) in message
    assert message.endswith("makes that layout of one folder a class")


def test_a_folder_in_place_of_the_csv_is_refused(folder: Path) -> None:
    csv_of(folder).mkdir()
    assert str(csv_of(folder)) in refusal(folder)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named(folder: Path, column: str) -> None:
    place = COLUMNS.index(column)
    rows = [row[:place] + row[place + 1 :] for row in ROWS]
    write_rows(folder, rows, tuple(name for name in COLUMNS if name != column))
    message = refusal(folder)
    assert f"no column '{column}'" in message
    assert str(csv_of(folder)) in message


@pytest.mark.parametrize("sign", [";", "\t", "|"])
def test_a_csv_that_is_no_comma_separated_one_is_called_so(folder: Path, sign: str) -> None:
    write_rows(folder, ROWS)
    csv_of(folder).write_text(csv_of(folder).read_text().replace(",", sign))
    assert refusal(folder).endswith(f"esc50.csv' has its columns apart by {sign!r}, not by ',': save it with commas")


def test_columns_may_come_in_any_order_and_among_others(folder: Path) -> None:
    columns = ("take", *reversed(COLUMNS), "esc10")
    write_rows(folder, [("A", *reversed(row), "True") for row in ROWS], columns)
    clips = read_dataset(folder).clips
    assert [(clip.filename, clip.fold, clip.target, clip.category, clip.src_file) for clip in clips] == [
        ("a.wav", 1, 0, "dog", "s1"),
        ("b.wav", 2, 1, "rooster", "s2"),
    ]


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b",".join(name.encode() for name in COLUMNS), b",".join(name.encode() for name in COLUMNS) + b"\n\n"],
    ids=["nothing", "a blank line", "a header", "a header and a blank line"],
)
def test_an_empty_csv_is_refused(folder: Path, content: bytes) -> None:
    csv_of(folder).write_bytes(content)
    assert str(csv_of(folder)) in refusal(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n\x00\x00",
        bytes(range(256)) * 40,
        b"\x00" * 500,
        b"OggS\x00\x02" + b"\xff" * 50,
        "filename,fold,target,category,src_file\nä.wav,1,0,dog,s1\n".encode("latin-1"),
        "filename,fold,target,category,src_file\na.wav,1,0,dog,s1\n".encode("utf-16"),
        b"filename,fold,target,category,src_file\n" + b"x" * 200_000 + b",1,0,dog,s1\n",
    ],
    ids=["png", "all bytes", "zeros", "ogg", "latin-1", "utf-16", "endless cell"],
)
def test_a_csv_that_is_no_utf8_table_is_refused_by_name(folder: Path, content: bytes) -> None:
    csv_of(folder).write_bytes(content)
    assert str(csv_of(folder)) in refusal(folder)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_byte_order_marks_and_line_ends_of_other_systems_change_nothing(folder: Path, mark: str, newline: str) -> None:
    lines = [",".join(COLUMNS), *(",".join(row) for row in ROWS)]
    csv_of(folder).write_bytes((mark + newline.join(lines) + newline).encode())
    clips = read_dataset(folder).clips
    assert [clip.filename for clip in clips] == ["a.wav", "b.wav"]
    assert [clip.src_file for clip in clips] == ["s1", "s2"]


@pytest.mark.parametrize("column", ["fold", "target"])
@pytest.mark.parametrize("value", ["a", "", "1.5", "-1", "1e3", "²", "nan", "0x1", "9" * 5_000])
def test_folds_and_targets_must_be_whole_numbers(folder: Path, column: str, value: str) -> None:
    row = list(ROWS[1])
    row[COLUMNS.index(column)] = value
    write_rows(folder, [ROWS[0], tuple(row)])
    message = refusal(folder)
    assert f"'{csv_of(folder)}', line 3" in message
    assert f"{column} '{value}' is not a whole number" in message


@pytest.mark.parametrize(
    "filename",
    ["../x.wav", "/etc/passwd", "a\\..\\..\\b.wav", "C:\\x.wav", "a/../../x.wav", "..", "\\x.wav", "\\\\host\\x.wav"],
)
def test_a_file_name_never_leaves_the_folder(folder: Path, filename: str) -> None:
    write_rows(folder, [ROWS[0], (filename, *ROWS[1][1:])])
    message = refusal(folder)
    assert f"'{csv_of(folder)}', line 3" in message
    assert f"'{filename}'" in message
    assert "audio/" in message


@pytest.mark.parametrize("column", ["filename", "category", "src_file"])
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_cell_is_named_with_its_line(folder: Path, column: str, value: str) -> None:
    row = list(ROWS[1])
    row[COLUMNS.index(column)] = value
    write_rows(folder, [ROWS[0], tuple(row)])
    message = refusal(folder)
    assert f"'{csv_of(folder)}', line 3: {column} is empty" in message


@pytest.mark.parametrize("cells", [1, 2, 3, 4])
def test_a_row_with_too_few_cells_is_named_with_its_line(folder: Path, cells: int) -> None:
    write_rows(folder, [ROWS[0], ROWS[1][:cells]])
    message = refusal(folder)
    assert f"'{csv_of(folder)}', line 3" in message
    assert COLUMNS[cells] in message


def test_two_rows_for_one_file_are_refused(folder: Path) -> None:
    write_rows(folder, [*ROWS, ROWS[0]])
    message = refusal(folder)
    assert str(csv_of(folder)) in message
    assert "'a.wav' 2 times" in message
    assert "keep one row" in message


@pytest.mark.parametrize(
    ("third", "names"),
    [
        (("c.wav", "1", "0", "cat", "s3"), ["'c.wav' is 'cat' with target 0", "'dog' with 0"]),
        (("c.wav", "1", "7", "dog", "s3"), ["'c.wav' is 'dog' with target 7", "'dog' with 0"]),
        (("c.wav", "1", "1", "dog", "s3"), ["'c.wav' is 'dog' with target 1", "'rooster' with 1"]),
    ],
    ids=["a target with two categories", "a category with two targets", "swapped"],
)
def test_categories_and_targets_pair_one_to_one(folder: Path, third: tuple[str, ...], names: list[str]) -> None:
    write_rows(folder, [*ROWS, third])
    message = refusal(folder)
    assert str(csv_of(folder)) in message
    assert all(name in message for name in [*names, "one category, one target"])


def test_one_class_is_no_task(folder: Path) -> None:
    write_rows(folder, [ROWS[0], ("b.wav", "2", "0", "dog", "s2")])
    message = refusal(folder)
    assert str(csv_of(folder)) in message
    assert "'dog'" in message
    assert "two" in message


def test_labels_follow_the_order_of_the_targets_not_of_names_or_rows(folder: Path) -> None:
    rows = [("a.wav", "2", "41", "bee", "s1"), ("b.wav", "7", "0", "zebra", "s2"), ("c.wav", "2", "10", "ant", "s3")]
    write_rows(folder, rows)
    dataset = read_dataset(folder)
    assert dataset.classes == ("zebra", "ant", "bee")
    assert dataset.folds == (2, 7)


@pytest.fixture
def with_audio(folder: Path) -> Path:
    write_rows(folder, ROWS)
    for name in ("a.wav", "b.wav"):
        (folder / "audio" / name).write_bytes(name.encode() * 20)
    return folder


def flip_a_byte_of_audio(root: Path) -> None:
    path = root / "audio" / "b.wav"
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    path.write_bytes(content)


def change_cell(column: str, value: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        row = list(ROWS[1])
        row[COLUMNS.index(column)] = value
        write_rows(root, [ROWS[0], tuple(row)])

    return change


@pytest.mark.parametrize(
    "change",
    [
        flip_a_byte_of_audio,
        lambda root: (root / "audio" / "b.wav").unlink(),
        lambda root: (root / "audio" / "b.wav").write_bytes(b""),
        change_cell("fold", "3"),
        change_cell("target", "2"),
        change_cell("category", "hen"),
        change_cell("src_file", "s3"),
        lambda root: write_rows(root, [*ROWS, ("c.wav", "2", "1", "rooster", "s4")]),
        lambda root: write_rows(root, ROWS[::-1]),
    ],
    ids=["byte", "deleted", "emptied", "fold", "target", "category", "source", "row more", "order"],
)
def test_the_fingerprint_changes_with_the_audio_and_with_the_rows(
    with_audio: Path, change: Callable[[Path], None]
) -> None:
    before = read_dataset(with_audio).fingerprint
    assert read_dataset(with_audio).fingerprint == before
    change(with_audio)
    assert read_dataset(with_audio).fingerprint != before


def test_the_fingerprint_stays_when_the_folder_moves(with_audio: Path, tmp_path: Path) -> None:
    before = read_dataset(with_audio).fingerprint
    shutil.move(with_audio, tmp_path / "elsewhere")
    assert read_dataset(tmp_path / "elsewhere").fingerprint == before


@pytest.mark.parametrize("filename", ["b" * 300, "b\0.wav", ".", "gone.wav"], ids=["too long", "nul", "dot", "missing"])
def test_a_file_that_cannot_be_read_has_a_place_in_the_fingerprint(with_audio: Path, filename: str) -> None:
    dataset = read_dataset(with_audio)
    spoiled = Dataset(dataset.root, (dataset.clips[0], replace(dataset.clips[1], filename=filename)))
    assert spoiled.fingerprint != dataset.fingerprint


def test_the_title_counts_what_real_data_hold_and_warns_of_the_stand_in(with_audio: Path) -> None:
    assert read_dataset(with_audio).title == "data (2 clips, 2 classes)"
    (with_audio / MARK).write_text("{}")
    dataset = read_dataset(with_audio)
    assert dataset.is_stand_in
    assert "stand-in" in dataset.title
    assert "no recordings" in dataset.title


def test_the_root_is_absolute_wherever_it_was_named_from(with_audio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(with_audio.parent)
    dataset: Dataset = read_dataset(Path("data"))
    assert dataset.root == with_audio.resolve()
    assert dataset.audio_path(dataset.clips[0]) == with_audio.resolve() / "audio" / "a.wav"
