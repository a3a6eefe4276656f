from __future__ import annotations

import errno
import io
import random
import stat
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from esc50tune.data import download as module
from esc50tune.data.download import Expected, check_esc50, download
from esc50tune.errors import UserError

TINY = Expected(clips=8, classes=2, folds=2)
CUT = 150_000
Member = tuple["str | zipfile.ZipInfo", bytes]


def tiny_members(clips: int = TINY.clips, seed: int = 0) -> list[Member]:
    noise = random.Random(seed)
    rows = [(f"{i}.wav", i % 2 + 1, i // 2 % 2) for i in range(clips)]
    table = "filename,fold,target\n" + "".join(f"{name},{fold},{target}\n" for name, fold, target in rows)
    members: list[Member] = [(f"top/audio/{name}", noise.randbytes(40_000)) for name, _, _ in rows]
    extra = [("top/meta/esc50.csv", table), ("top/LICENSE", "CC"), ("top/README.md", "hi"), ("top/esc50.gif", "gif")]
    return members + [(name, text.encode()) for name, text in extra]


def zipped(members: list[Member]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, content in members:
            bundle.writestr(name, content)
    return buffer.getvalue()


@dataclass
class Server:
    """What the local server sends, which a test may change between requests, and what it was asked."""

    url: str = ""
    body: bytes = b""
    etag: str | None = '"one"'
    status: int | None = None
    honours_range: bool = True
    honours_if_range: bool = True
    sends_length: bool = True
    shifts_start: int = 0
    cut_after: int | None = None
    asked: list[dict[str, str]] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        headers = dict(handler.headers)
        self.asked.append(headers)
        start = self._start(headers)
        if self.status or start >= len(self.body):
            handler.send_response(self.status or 416)
            handler.send_header("Content-Range", f"bytes */{len(self.body)}")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        start += self.shifts_start if start else 0
        if "Range" in headers and start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.body) - 1}/{len(self.body)}")
        if self.etag:
            handler.send_header("ETag", self.etag)
        if self.sends_length:
            handler.send_header("Content-Length", str(len(self.body) - start))
        handler.end_headers()
        handler.wfile.write(self.body[start:][: self.cut_after])

    def _start(self, headers: dict[str, str]) -> int:
        changed = self.honours_if_range and headers.get("If-Range", self.etag) != self.etag
        if "Range" not in headers or not self.honours_range or changed:
            return 0
        return int(headers["Range"].removeprefix("bytes=").removesuffix("-"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server(body=zipped(tiny_members()))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        state.url = f"http://127.0.0.1:{httpd.server_address[1]}/master.zip"
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        httpd.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ESC-50"


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=40)


def said(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()


def part_of(target: Path) -> Path:
    return target.with_name("ESC-50.zip.part")


def beside(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def fetch(server: Server, target: Path, console: Console | None = None) -> Path:
    return download(target, server.url, console or Console(file=io.StringIO()), expected=TINY)


def cut_once(server: Server, target: Path) -> bytes:
    """Run a download that is cut, mend the server and return what had arrived."""
    server.cut_after = CUT
    with pytest.raises(UserError, match=r"cut after .* of .*same command"):
        fetch(server, target)
    server.cut_after = None
    return part_of(target).read_bytes()


def assert_unpacked(target: Path, members: list[Member]) -> None:
    wanted = {str(name).removeprefix("top/"): content for name, content in members if name != "top/esc50.gif"}
    found = {p.relative_to(target).as_posix(): p.read_bytes() for p in target.rglob("*") if p.is_file()}
    assert found == wanted
    assert beside(target) == [target.name]


def test_fresh_download_unpacks_the_wanted_members_and_removes_the_archive(server, target, console):
    assert fetch(server, target, console) == target
    assert_unpacked(target, tiny_members())
    assert "Range" not in server.asked[0]
    assert said(console)[-1] == module.LICENCE_NOTE
    assert said(console).count(module.LICENCE_NOTE) == 1


def test_unknown_length_is_no_obstacle(server, target):
    server.sends_length = False
    fetch(server, target)
    assert_unpacked(target, tiny_members())


@pytest.mark.parametrize("etag", ['"one"', None])
def test_a_cut_download_goes_on_where_it_stopped(server, target, etag):
    server.etag = etag
    arrived = cut_once(server, target)
    assert 0 < len(arrived) <= CUT
    assert server.body.startswith(arrived)
    fetch(server, target)
    assert server.asked[1]["Range"] == f"bytes={len(arrived)}-"
    assert server.asked[1].get("If-Range") == etag
    assert_unpacked(target, tiny_members())


def test_a_resumed_archive_has_the_bytes_of_the_whole(server, target, monkeypatch):
    cut_once(server, target)
    seen = []
    monkeypatch.setattr(module, "_unpack", lambda archive, *_: seen.append(archive.read_bytes()))
    fetch(server, target)
    assert seen == [server.body]


def test_a_second_cut_keeps_what_the_first_left(server, target):
    first = cut_once(server, target)
    second = cut_once(server, target)
    assert len(second) > len(first)
    assert server.body.startswith(second)


def test_a_short_rest_without_a_length_counts_as_cut(server, target):
    first = cut_once(server, target)
    server.sends_length = False
    second = cut_once(server, target)
    assert len(second) == len(first) + CUT


def test_a_server_that_ignores_range_starts_over_and_says_so_in_one_line(server, target, console):
    server.honours_range = False
    cut_once(server, target)
    fetch(server, target, console)
    assert "Range" in server.asked[1]
    assert_unpacked(target, tiny_members())
    assert sum("starting over" in line for line in said(console)) == 1


@pytest.mark.parametrize("honours_if_range", [True, False])
def test_a_changed_archive_is_never_glued_to_an_old_part(server, target, honours_if_range):
    cut_once(server, target)
    server.body, server.etag = zipped(tiny_members(seed=1)), '"two"'
    server.honours_if_range = honours_if_range
    fetch(server, target)
    assert server.asked[1]["If-Range"] == '"one"'
    assert_unpacked(target, tiny_members(seed=1))


def test_the_part_after_a_change_is_known_by_its_new_etag(server, target):
    cut_once(server, target)
    server.body, server.etag = zipped(tiny_members(seed=1)), '"two"'
    cut_once(server, target)
    fetch(server, target)
    assert server.asked[2]["If-Range"] == '"two"'
    assert_unpacked(target, tiny_members(seed=1))


def test_the_part_after_a_change_forgets_the_old_etag(server, target):
    cut_once(server, target)
    server.etag = None
    cut_once(server, target)
    fetch(server, target)
    assert "If-Range" not in server.asked[2]
    assert_unpacked(target, tiny_members())


def test_a_range_that_starts_elsewhere_is_not_appended(server, target, console):
    cut_once(server, target)
    server.shifts_start = 1
    fetch(server, target, console)
    assert "Range" not in server.asked[2]
    assert_unpacked(target, tiny_members())


def test_a_complete_part_goes_on_to_unpacking(server, target):
    target.parent.mkdir()
    part_of(target).write_bytes(server.body)
    fetch(server, target)
    assert_unpacked(target, tiny_members())
    assert len(server.asked) == 1


def test_a_part_longer_than_the_archive_starts_over(server, target):
    target.parent.mkdir()
    part_of(target).write_bytes(bytes(len(server.body) + 4))
    fetch(server, target)
    assert_unpacked(target, tiny_members())


@pytest.mark.parametrize("status", [404, 503])
def test_an_error_status_keeps_the_part(server, target, status):
    arrived = cut_once(server, target)
    server.status = status
    with pytest.raises(UserError, match=str(status)):
        fetch(server, target)
    assert part_of(target).read_bytes() == arrived


def test_no_server_is_a_user_error(target, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(UserError, match="Could not reach"):
        download(target, "http://127.0.0.1:1/master.zip", expected=TINY)


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "top/../../evil",
        "top/audio/../../../evil",
        "top/audio/..\\..\\evil",
        "/evil",
        "C:/evil",
        "C:evil",
        "\\\\host\\share\\evil",
        link("top/audio/link.wav"),
        link("top/unwanted"),
    ],
    ids=str,
)
def test_an_unsafe_member_is_refused_and_nothing_is_written(server, target, tmp_path, name):
    server.body = zipped([*tiny_members(), (name, b"/etc")])
    with pytest.raises(UserError, match=r"ESC-50.zip is unsafe: '.*' (would be|is a) .*; delete the archive\.$"):
        fetch(server, target)
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "ESC-50.zip"]
    assert not Path("/evil").exists()


def test_a_zip_bomb_is_refused(server, target, monkeypatch):
    monkeypatch.setattr(module, "_MAX_UNPACKED", 1000)
    with pytest.raises(UserError, match="would unpack to"):
        fetch(server, target)
    assert beside(target) == ["ESC-50.zip"]


def test_a_full_disk_is_refused_and_the_archive_serves_the_next_run(server, target, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(UserError, match="10 bytes free"):
        patch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
        fetch(server, target)
    assert beside(target) == ["ESC-50.zip"]
    fetch(server, target)
    assert_unpacked(target, tiny_members())
    assert len(server.asked) == 1


def test_a_disk_that_fills_up_keeps_what_has_arrived(server, target, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module.shutil, "copyfileobj", full)
        with pytest.raises(UserError, match=r"cannot be made \(No space left on device\)"):
            download(target, server.url, expected=TINY)
    assert not target.exists()
    asked = len(server.asked)
    download(target, server.url, expected=TINY)
    assert len(server.asked) == asked  # the archive was there
    assert check_esc50(target, TINY) == []


@pytest.mark.parametrize("name", ["x" * 300, "file/below"])
def test_a_place_that_cannot_be_written_is_named(server, tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"{name} cannot be made"):
        download(tmp_path / name, server.url, expected=TINY)


def test_wrong_counts_are_refused_and_no_target_is_made(server, target):
    server.body = zipped(tiny_members(clips=7))
    with pytest.raises(UserError, match="7 rows, not 8"):
        fetch(server, target)
    assert beside(target) == ["ESC-50.zip"]


def test_a_second_run_leaves_the_target_alone(server, target, console):
    fetch(server, target)
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*")}
    fetch(server, target, console)
    assert {path: path.stat().st_mtime_ns for path in target.rglob("*")} == before
    assert said(console) == [f"already there: {target}"]
    assert len(server.asked) == 1


def test_an_unsound_target_is_refused_and_kept(server, target):
    target.mkdir(parents=True)
    (target / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match=r"ESC-50 exists but"):
        fetch(server, target)
    assert (target / "mine.txt").read_text() == "keep"
    assert server.asked == []


def broken_clip(body: bytes) -> bytes:
    middle = 20_000  # inside the first clip's bytes, so that only its checksum tells
    return body[:middle] + bytes([body[middle] ^ 255]) + body[middle + 1 :]


@pytest.mark.parametrize("spoil", [lambda body: body[:-100], broken_clip, lambda _: b"<html>"])
def test_a_corrupt_zip_is_named_with_what_to_do(server, target, spoil):
    server.body = spoil(server.body)
    with pytest.raises(UserError, match=r"ESC-50\.zip is a broken zip.*delete it and run again"):
        fetch(server, target)
    assert beside(target) == ["ESC-50.zip"]


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    for name, content in tiny_members():
        path = tmp_path / str(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "top"


def test_check_finds_nothing_wrong_with_a_sound_folder(sound):
    assert check_esc50(sound, TINY) == []


def test_check_names_a_missing_file(sound):
    (sound / "audio" / "3.wav").unlink()
    assert check_esc50(sound, TINY) == ["1 files are not in audio/ (the first is 3.wav)"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("0.wav,1,0", "0.wav,2,0", "fold 1 has 3 clips, not 4"),
        ("0.wav,1,0", "0.wav,1,1", "target 0 has 3 clips, not 4"),
        ("0.wav,1,0", "0.wav,1,7", "column target has 3 values, not 2"),
        ("0.wav,1,0", "1.wav,1,0", "meta/esc50.csv names 1 files more than once"),
        ("fold,", "sheep,", "meta/esc50.csv has no rows with: fold"),
    ],
)
def test_check_names_what_is_wrong_in_the_table(sound, old, new, problem):
    table = sound / "meta" / "esc50.csv"
    table.write_text(table.read_text().replace(old, new))
    assert problem in check_esc50(sound, TINY)


def test_check_expects_the_real_counts_by_default(sound):
    assert "meta/esc50.csv has 8 rows, not 2000" in check_esc50(sound)
