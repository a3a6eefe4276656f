"""A folder in ESC-50's layout: `meta/esc50.csv` names the clips of `audio/`, their classes, folds and sources."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shlex
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from esc50tune.data.lines import watched
from esc50tune.errors import UserError

COLUMNS = ("filename", "fold", "target", "category", "src_file")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # breaks a line, or talks to the terminal
SEPARATORS = (";", "\t", "|")  # what some programs save as csv
LONGEST = 200  # characters of a class's name: tables and figures hold it
MARK = "stand-in.json"  # lies in the folders that `synthetic.py` writes, and only there


@dataclass(frozen=True)
class Clip:
    """One row of `meta/esc50.csv`."""

    filename: str
    fold: int
    target: int
    category: str
    src_file: str


@dataclass(frozen=True)
class Dataset:
    """A checked folder in ESC-50's layout.

    Attributes:
        root: the folder.
        clips: its clips in the order of the csv.
    """

    root: Path
    clips: tuple[Clip, ...]

    @cached_property
    def is_stand_in(self) -> bool:
        """Whether the clips are procedural sounds and no recordings."""
        return (self.root / MARK).is_file()

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of their targets; a class's index here is its label in training."""
        return tuple(name for _, name in sorted({(clip.target, clip.category) for clip in self.clips}))

    @cached_property
    def folds(self) -> tuple[int, ...]:
        return tuple(sorted({clip.fold for clip in self.clips}))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the csv's rows and of every audio file's content."""
        digest = hashlib.blake2b(digest_size=16)
        for clip in watched(self.clips, len(self.clips), "reading clips"):
            digest.update(json.dumps([clip.filename, clip.fold, clip.target, clip.category, clip.src_file]).encode())
            path = self.audio_path(clip)
            try:
                digest.update(path.read_bytes())
            except (OSError, ValueError):  # named, with all others, when the clips are decoded
                digest.update(b"missing")
        return digest.hexdigest()

    @property
    def title(self) -> str:
        """What the data are, in the words that stand in every table."""
        if self.is_stand_in:
            return "embedded stand-in (procedural sounds, no recordings)"
        return f"{self.root.name} ({len(self.clips)} clips, {len(self.classes)} classes)"

    def audio_path(self, clip: Clip) -> Path:
        return self.root / "audio" / clip.filename


def read_dataset(root: Path) -> Dataset:
    """Read and check `meta/esc50.csv` of the folder `root`. The audio itself is checked when it is decoded.

    Raises:
        UserError: the folder or csv is missing, or a row is wrong; names the file, the row and the mend.
    """
    path = root / "meta" / "esc50.csv"
    try:
        if not root.is_dir():
            raise UserError(f"no folder '{root}'; give one in ESC-50's layout (meta/esc50.csv and audio/)")
        if not path.is_file():
            raise UserError(
                f"'{root}' is not in ESC-50's layout: there is no '{path}'; "
                f"`python -m esc50tune.data make {shlex.quote(str(root))} OUT` makes that layout of one folder a class"
            )
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            found = Counter(reader.fieldnames)
            missing = [name for name in COLUMNS if found[name] != 1]
            if missing:
                raise UserError(f"'{path}' {wrong_columns(missing[0], found)}")
            clips = tuple(read_clip(row, f"'{path}', line {reader.line_num}") for row in reader)
    except OSError as error:  # no permission, or a name too long
        raise UserError(f"the folder '{root}' cannot be read: {error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"'{path}' is no readable csv in UTF-8 ({error}); save it as one") from None
    check_clips(clips, path)
    return Dataset(root.resolve(), clips)


def wrong_columns(name: str, found: Counter[str]) -> str:
    """Return what is wrong with a first line where `name` is not a column, or several, in words."""
    other = [sign for sign in SEPARATORS if len(found) == 1 and sign in next(iter(found))]
    if name in found:
        return f"has more than one column '{name}'; keep one"
    if other:
        return f"has its columns apart by {other[0]!r}, not by ',': save it with commas"
    return f"has no column '{name}' in its first line; it needs {', '.join(COLUMNS)}"


def read_clip(row: dict[str, str], where: str) -> Clip:
    for name in COLUMNS:
        if CONTROL.search((row[name] or "").strip()):
            raise UserError(f"{where}: {name} {row[name]!r} has a line break or another control character in it")
    filename = (row["filename"] or "").strip()
    parts = PurePosixPath(filename.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in filename:
        raise UserError(f"{where}: the file name '{filename}' does not stay inside audio/")
    if filename and str(parts) != filename.replace("\\", "/"):
        raise UserError(f"{where}: write the file name '{filename}' as '{parts}'")
    numbers = {}
    for name in ("fold", "target"):
        text = (row[name] or "").strip()
        if not text.isdecimal() or len(text) > 9:  # Python refuses to read thousands of digits
            raise UserError(f"{where}: {name} '{text}' is not a whole number")
        numbers[name] = int(text)
    category, source = (row["category"] or "").strip(), (row["src_file"] or "").strip()
    for name, text in (("filename", filename), ("category", category), ("src_file", source)):
        if not text:
            raise UserError(f"{where}: {name} is empty")
    if len(category) > LONGEST:
        raise UserError(f"{where}: category is longer than {LONGEST} characters")
    return Clip(filename, numbers["fold"], numbers["target"], category, source)


def check_clips(clips: tuple[Clip, ...], path: Path) -> None:
    if not clips:
        raise UserError(f"'{path}' lists no clips")
    twice = [name for name, count in Counter(clip.filename for clip in clips).items() if count > 1]
    if twice:
        raise UserError(f"'{path}' lists '{twice[0]}' {sum(c.filename == twice[0] for c in clips)} times; keep one row")
    category_of: dict[int, str] = {}
    target_of: dict[str, int] = {}
    for clip in clips:
        category, target = (
            category_of.setdefault(clip.target, clip.category),
            target_of.setdefault(clip.category, clip.target),
        )
        if category != clip.category or target != clip.target:
            raise UserError(
                f"'{path}': '{clip.filename}' is '{clip.category}' with target {clip.target}, but an earlier row pairs "
                f"'{category if category != clip.category else clip.category}' with "
                f"{clip.target if category != clip.category else target}; one category, one target"
            )
    if len(category_of) < 2:
        raise UserError(f"'{path}' has one class only ('{clips[0].category}'); a classifier needs two")
