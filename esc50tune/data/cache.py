"""Decode and resample once: one memory-mapped array a fold, shared by every trial on the machine."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from esc50tune.data.audio import BadAudio, fit_clip, read_recording
from esc50tune.data.dataset import Clip, Dataset
from esc50tune.data.lines import counted, listed, watched
from esc50tune.errors import UserError
from esc50tune.files import write_whole

INDEX = "index.json"
VERSION = 1  # raise it whenever the same recordings would give other samples


def cache_root() -> Path:
    """Return the folder for what can be made again: `$ESC50TUNE_CACHE`, else `~/.cache/esc50tune`.

    Raises:
        UserError: it would be in a home that does not exist, as that of a container's user may not.
    """
    try:
        return Path(os.environ.get("ESC50TUNE_CACHE") or Path.home() / ".cache" / "esc50tune").expanduser()
    except RuntimeError:
        raise UserError("there is no home folder for the cache: point ESC50TUNE_CACHE to another folder") from None


@dataclass(frozen=True)
class ClipCache:
    """The decoded clips of a dataset at one rate and length, or what a feature made of them beforehand.

    Its folder's path is enough to open it in another process.

    Attributes:
        folder: holds `fold-N.npy`, int16 [clips, T], rows in the order of the csv, and `index.json`.
        classes: names of the classes; a class's place here is its label.
        labels: label of each row, by fold.
        sources: source recording of each row, by fold.
        facts: how many clips were padded, cut, of several channels; how many had which rate.
        latents: where encoded clips have their `fold-N.npy`, seen from `folder`: several folders of codes share them.
    """

    folder: Path
    classes: list[str]
    labels: dict[int, list[int]]
    sources: dict[int, list[str]]
    facts: dict[str, Any]
    latents: str = "."

    @classmethod
    def at(cls, folder: Path) -> ClipCache:
        """Open the cache that lies in `folder`.

        Raises:
            UserError: its index is gone or damaged.
        """
        try:
            index = json.loads((folder / INDEX).read_text())
            by_fold = {key: {int(fold): rows for fold, rows in index[key].items()} for key in ("labels", "sources")}
            return cls(folder, index["classes"], facts=index["facts"], latents=index.get("latents", "."), **by_fold)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):  # a power cut leaves zeros, or nothing
            raise UserError(f"'{folder / INDEX}' is damaged: remove '{folder}', and it is made again") from None

    def fold(self, number: int) -> np.ndarray:
        """Open one fold, read-only and memory-mapped: int16 [clips, T], or float32 [clips, C, T] of encoded clips.

        Raises:
            UserError: the file is gone or damaged.
        """
        return open_array((self.folder / self.latents).resolve() / f"fold-{number}.npy")

    def codes(self, number: int) -> np.ndarray | None:
        """Open the codes of one fold of encoded clips, int16 [clips, N, T]; None where they are not encoded.

        Raises:
            UserError: the file is gone or damaged.
        """
        return None if self.latents == "." else open_array(self.folder / f"codes-{number}.npy")


def open_array(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"'{path}' is damaged ({error}): remove '{path.parent}', and it is made again") from None


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array in one step: a reader finds it whole or not at all."""
    content = io.BytesIO()
    np.save(content, array)  # into a file, it raises an error that does not say why that cannot be written
    write_whole(path, content.getbuffer())


def open_cache(dataset: Dataset, rate: int, seconds: float) -> ClipCache:
    """Return the cache of `dataset` at `rate` Hz and `seconds` a clip; make it first where there is none.

    Several processes may call this at once: one decodes, the others wait for it.

    Raises:
        UserError: audio files are bad (told all at once), or the disk has no room.
    """
    length = round(rate * seconds)
    folder = cache_root() / "clips" / f"{dataset.fingerprint}-v{VERSION}-{rate}Hz-{length}"
    index = folder / INDEX
    try:
        if not index.is_file():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):
                if not index.is_file():
                    decode_all(dataset, rate, length, folder)
    except OSError as error:
        raise UserError(
            f"cannot write the cache '{folder}': {error.strerror or error}; point ESC50TUNE_CACHE elsewhere"
        ) from None
    return ClipCache.at(folder)


def decode_all(dataset: Dataset, rate: int, length: int, folder: Path) -> None:
    """Decode every clip into a temporary folder, then give it its name: there is never half a cache."""
    need, free = 2 * length * len(dataset.clips), shutil.disk_usage(folder.parent).free
    if need > free:
        raise UserError(
            f"the decoded clips need {need / 1e9:.1f} GB, but '{folder.parent}' has {free / 1e9:.1f} GB free; "
            "make room or point ESC50TUNE_CACHE elsewhere"
        )
    bad: dict[str, str] = {}
    decoded: list[tuple[int, int, int]] = []  # frames, rate, channels; threads may append to a list, not add to counts

    def decode(clip: Clip) -> np.ndarray | None:
        try:
            recording = read_recording(dataset.audio_path(clip))
        except BadAudio as error:
            bad[clip.filename] = str(error)
            return None
        frames = round(len(recording.samples) * rate / recording.rate)
        decoded.append((frames, recording.rate, recording.channels))
        return fit_clip(recording, rate, length)

    by_fold = {fold: [clip for clip in dataset.clips if clip.fold == fold] for fold in dataset.folds}
    with (
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-", ignore_cleanup_errors=True) as scratch,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        made = Path(scratch) / "made"  # the folder around it is closed to others
        made.mkdir()
        each = chain.from_iterable(pool.map(decode, clips) for clips in by_fold.values())  # a fold at a time
        with closing(watched(each, len(dataset.clips), "decoding clips")) as shown:
            for fold, clips in by_fold.items():
                rows = [row for row in islice(shown, len(clips)) if row is not None]
                if not bad:
                    np.save(made / f"fold-{fold}.npy", np.stack(rows))
        if bad:
            raise UserError(describe_bad(dataset, bad))
        tolerance = rate // 100  # a surplus or lack of 10 ms, as codecs leave it, is not worth a word
        facts = {
            "padded": sum(frames < length - tolerance for frames, _, _ in decoded),
            "cut": sum(frames > length + tolerance for frames, _, _ in decoded),
            "several_channels": sum(channels > 1 for _, _, channels in decoded),
            "rates": dict(sorted(Counter(rate for _, rate, _ in decoded).items())),
        }
        (made / INDEX).write_text(json.dumps(describe_rows(dataset) | {"facts": facts}))
        if folder.exists():  # without its index: what is left of one
            shutil.rmtree(folder)
        made.rename(folder)


def describe_rows(dataset: Dataset) -> dict[str, Any]:
    label = {name: i for i, name in enumerate(dataset.classes)}
    clips = {fold: [clip for clip in dataset.clips if clip.fold == fold] for fold in dataset.folds}
    return {
        "classes": dataset.classes,
        "labels": {fold: [label[clip.category] for clip in rows] for fold, rows in clips.items()},
        "sources": {fold: [clip.src_file for clip in rows] for fold, rows in clips.items()},
    }


def describe_bad(dataset: Dataset, bad: dict[str, str]) -> str:
    named = listed([f"{name} ({why})" for name, why in sorted(bad.items())])
    rows = "take its row out" if len(bad) == 1 else "take their rows out"
    which = f"{counted(len(bad), 'file')} of '{dataset.root / 'audio'}' cannot be used: {named}"
    check = f"`python -m esc50tune.data check {shlex.quote(str(dataset.root))}` says more"
    return f"{which}; mend them, or {rows} of meta/esc50.csv; {check}"
