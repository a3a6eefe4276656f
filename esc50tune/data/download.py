"""Fetches the ESC-50 archive, goes on after a cut, unpacks it safely and checks that it is whole."""

from __future__ import annotations

import csv
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import requests
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from esc50tune.errors import UserError

URL = "https://github.com/karolpiczak/ESC-50/archive/refs/heads/master.zip"
LICENCE_NOTE = (
    "ESC-50 is licensed CC BY-NC 3.0 (its ESC-10 subset CC BY). Please cite: K. J. Piczak, "
    '"ESC: Dataset for Environmental Sound Classification", ACM Multimedia 2015.'
)

_TIMEOUTS = (10, 60)  # seconds to connect, seconds without a byte
_CHUNK = 1 << 16  # bytes; what a cut connection can lose of what had arrived
_MAX_UNPACKED = 3 * 10**9  # bytes; the real data set is below 1 GB
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)


@dataclass(frozen=True)
class Expected:
    """How many clips a sound data set has, spread evenly over classes and over folds."""

    clips: int = 2000
    classes: int = 50
    folds: int = 5


ESC50 = Expected()


def download(target: Path, url: str = URL, console: Console | None = None, *, expected: Expected = ESC50) -> Path:
    """Fetch, unpack and check ESC-50, going on from a partial download if there is one.

    Args:
        target: The folder to create; it gets `audio/` and `meta/`. A sound one is left alone.
        url: Address of the zip archive.
        console: Where messages and progress go; standard output by default.
        expected: The counts that the data set must have.

    Returns:
        The target.

    Raises:
        UserError: The target exists and is not sound, the download was cut or refused, the archive is broken,
            unsafe or incomplete, or the disk is too full or not to be written. The target is then as it was before.
    """
    try:
        return _download(target, url, console or Console(), expected)
    except OSError as error:
        raise UserError(
            f"{target} cannot be made ({error.strerror or error}); mend that, and the same command goes on with what "
            "has arrived."
        ) from error


def _download(target: Path, url: str, console: Console, expected: Expected) -> Path:
    # A dangling link does not "exist", yet nothing can be moved onto it either.
    if target.exists() or target.is_symlink():
        _refuse_unsound(target, expected)
        _say(console, f"already there: {target}")
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    archive = target.with_name(target.name + ".zip")
    if archive.exists():
        _say(console, f"Using the archive of an earlier run: {archive}")
    else:
        part = _Part(archive.with_name(archive.name + ".part"))
        _fetch(url, part, console)
        part.finish(archive)
    _unpack(archive, target, expected)
    archive.unlink()
    _say(console, f"ESC-50 is in {target}")
    _say(console, LICENCE_NOTE)
    return target


def check_esc50(root: Path, expected: Expected = ESC50) -> list[str]:
    """Return what is wrong with the data set under `root`, one phrase per problem; empty when it is sound."""
    table = root / "meta" / "esc50.csv"
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError:
        return ["meta/esc50.csv is missing or cannot be read"]
    except (csv.Error, UnicodeDecodeError):
        return ["meta/esc50.csv is not a csv file"]
    absent = {"filename", "fold", "target"} - set(rows[0] if rows else ())
    if absent:
        return [f"meta/esc50.csv has no rows with: {', '.join(sorted(absent))}"]
    return _count_problems(rows, expected) + _file_problems(rows, root / "audio")


def _count_problems(rows: list[dict[str, str]], expected: Expected) -> list[str]:
    problems = []
    if len(rows) != expected.clips:
        problems.append(f"meta/esc50.csv has {len(rows)} rows, not {expected.clips}")
    for column, groups in (("target", expected.classes), ("fold", expected.folds)):
        counts = Counter(row[column] for row in rows)
        each = expected.clips // groups
        if len(counts) != groups:
            problems.append(f"column {column} has {len(counts)} values, not {groups}")
        problems += [f"{column} {value} has {n} clips, not {each}" for value, n in counts.items() if n != each]
    return problems


def _file_problems(rows: list[dict[str, str]], audio: Path) -> list[str]:
    named = [row["filename"] for row in rows]
    present = {path.name for path in audio.glob("*") if path.is_file()}
    problems = []
    if len(set(named)) != len(named):
        problems.append(f"meta/esc50.csv names {len(named) - len(set(named))} files more than once")
    missing = [name for name in named if name not in present]
    if missing:
        problems.append(f"{len(missing)} files are not in audio/ (the first is {missing[0]})")
    return problems


def _refuse_unsound(target: Path, expected: Expected) -> None:
    problems = check_esc50(target, expected)
    if problems:
        raise UserError(f"{target} exists but is not a whole ESC-50 ({_some(problems)}); move it away and run again.")


def _some(problems: list[str]) -> str:
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    return "; ".join(problems[:3]) + more


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class _Part:
    """The partial archive, with the ETag of what it is a part of in a small file beside it."""

    path: Path

    @property
    def _etag_path(self) -> Path:
        return self.path.with_name(self.path.name + ".etag")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def etag(self) -> str | None:
        return self._etag_path.read_text(encoding="utf-8") if self._etag_path.exists() else None

    def restart(self, etag: str | None) -> None:
        # In this order, so that a crash in between never leaves old bytes under a new ETag.
        self.path.unlink(missing_ok=True)
        self._etag_path.unlink(missing_ok=True)
        if etag:
            self._etag_path.write_text(etag, encoding="utf-8")

    def finish(self, archive: Path) -> None:
        self.path.replace(archive)
        self._etag_path.unlink(missing_ok=True)


def _fetch(url: str, part: _Part, console: Console) -> None:
    had = part.size
    with _ask(url, part) as response:
        status = response.status_code
        start, total = _content_range(response)
        if had and status == 416 and total == had:
            return
        if had and status == 206 and start == had and _same_etag(response, part):
            _store(response, part, total, console)
            return
        if status == 200:
            if had:
                _say(console, "The server sent the archive from its beginning: starting over.")
            part.restart(response.headers.get("ETag"))
            _store(response, part, None, console)
            return
        if not had or status not in (206, 416):
            raise UserError(f"{url} answered with HTTP status {status}; try again later.")
    _say(console, f"{part.path} is not a part of what the server has now: starting over.")
    part.restart(None)
    _fetch(url, part, console)  # once at most: without a partial file every answer above ends it


def _ask(url: str, part: _Part) -> requests.Response:
    headers = {"Accept-Encoding": "identity"}  # else lengths would count compressed bytes
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if part.etag:
            headers["If-Range"] = part.etag
    try:
        return requests.get(url, headers=headers, stream=True, timeout=_TIMEOUTS)
    except requests.RequestException as error:
        raise UserError(
            f"Could not reach {url} ({type(error).__name__}); {decimal(part.size)} have arrived so far, "
            "and the same command goes on from there."
        ) from error


def _content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """First byte and whole size, each None when the server does not say."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", response.headers.get("Content-Range", ""))
    start, total = match.groups() if match else (None, None)
    return start and int(start), total and int(total)


def _same_etag(response: requests.Response, part: _Part) -> bool:
    # Some servers and caches honour Range but overlook If-Range.
    return part.etag is None or response.headers.get("ETag", part.etag) == part.etag


def _store(response: requests.Response, part: _Part, total: int | None, console: Console) -> None:
    length = response.headers.get("Content-Length")
    if total is None and length is not None:
        total = part.size + int(length)
    try:
        with part.path.open("ab") as file, _progress(console) as bar:
            task = bar.add_task("ESC-50", total=total, completed=part.size)
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                bar.advance(task, len(chunk))
    except requests.RequestException as error:
        raise _cut(part, total) from error
    if total is not None and part.size < total:
        raise _cut(part, total)


def _progress(console: Console) -> Progress:
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), *columns, console=console)


def _cut(part: _Part, total: int | None) -> UserError:
    of = f" of {decimal(total)}" if total is not None else ""
    return UserError(
        f"The connection was cut after {decimal(part.size)}{of} had arrived in {part.path}; "
        "run the same command again to go on from there."
    )


def _unpack(archive: Path, target: Path, expected: Expected) -> None:
    # The temporary folder is private (mode 700); the one inside it gets the usual mode and is what moves.
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        root = Path(scratch) / "unpacked"
        root.mkdir()
        try:
            with zipfile.ZipFile(archive) as bundle:
                _extract(bundle, root)
        except _BROKEN_ZIP as error:
            raise UserError(f"{archive} is a broken zip file ({error}); delete it and run again.") from error
        problems = check_esc50(root, expected)
        if problems:
            raise UserError(f"{archive} holds no whole ESC-50 ({_some(problems)}); delete it and run again.")
        root.replace(target)


def _extract(bundle: zipfile.ZipFile, root: Path) -> None:
    infos = bundle.infolist()
    for info in infos:
        if fault := _unsafe(info):
            raise UserError(f"{bundle.filename} is unsafe: '{info.filename}' {fault}; delete the archive.")
    needed = sum(info.file_size for info in infos)
    if needed > _MAX_UNPACKED:
        raise UserError(f"{bundle.filename} would unpack to {decimal(needed)}, far more than ESC-50; not unpacked.")
    free = shutil.disk_usage(root).free
    if needed > free:
        raise UserError(f"{root.parent.parent} has {decimal(free)} free, but unpacking needs {decimal(needed)}.")
    for info in infos:
        inside = PurePosixPath(info.filename).parts[1:]  # without the archive's top folder
        if not info.is_dir() and _wanted(inside):
            path = root.joinpath(*inside)
            path.parent.mkdir(parents=True, exist_ok=True)
            with bundle.open(info) as source, path.open("wb") as copy:
                shutil.copyfileobj(source, copy)


def _unsafe(info: zipfile.ZipInfo) -> str:
    """Return why a member must not be unpacked, in words; nothing where it may."""
    # Read as a Windows path, a name shows both kinds of separators and drive letters. With no root and no ".."
    # in it, and no link to follow, it can only resolve to a place inside the folder.
    path = PureWindowsPath(info.filename)
    if path.drive or path.root or ".." in path.parts:
        return "would be written outside the target folder"
    return "is a symbolic link" if stat.S_ISLNK(info.external_attr >> 16) else ""


def _wanted(inside: tuple[str, ...]) -> bool:
    if len(inside) == 1:
        return inside[0].startswith(("LICENSE", "README"))
    return bool(inside) and inside[0] in ("audio", "meta")
