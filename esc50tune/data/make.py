"""`make`: one folder a class becomes a folder in ESC-50's layout, with folds.

A file in a class's folder is a source of its own. The files of a folder in it are takes of one source, which has that
folder's name: a recording that was cut, a speaker, a place. Folders of one name in several classes are one source.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal

from esc50tune.data.dataset import COLUMNS, LONGEST
from esc50tune.data.examine import Sound, examine_all
from esc50tune.data.folds import deal_folds
from esc50tune.data.lines import counted, listed, say, watched
from esc50tune.errors import UserError

# What the csv or another system cannot hold; the surrogates are Python's for bytes of a name that are no UTF-8.
UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff:\\]")
FEWEST = 3  # folds: one to train on, one to select on, one to test on


@dataclass(frozen=True)
class Take:
    """One file below a class's folder.

    Attributes:
        name: its path below audio/, with "/".
        source: what it is a take of.
        is_alone: whether no folder tells its source.
    """

    path: Path
    category: str
    name: str
    source: str
    is_alone: bool


def make(root: Path, out: Path, folds: int, console: Console) -> None:
    """Copy the audio of `root`, one folder a class, to the new folder `out` in ESC-50's layout.

    Raises:
        UserError: a folder is not there, or there already, there are too few clips for the folds, some are the same in
            two classes, or they cannot be copied. There is no `out` then.
    """
    try:
        refuse_places(root, out)
        takes, strays = gather(root)
        sounds, faults = examine_all([take.path for take in takes], console)
        takes, copies = without_copies([take for take in takes if take.path in sounds], sounds)
        tell_left_out(root, dict.fromkeys(strays, "in no class's folder") | faults | copies, console)
        refuse_names(takes, root)
        refuse_few(takes, root, folds)
        tell_sources(takes, console)
        fold_of = deal_folds([take.category for take in takes], [take.source for take in takes], folds)
        write(takes, fold_of, out, console)
    except OSError as error:
        raise UserError(f"'{out}' cannot be made: {error}") from None


def refuse_places(root: Path, out: Path) -> None:
    if not root.is_dir():
        raise UserError(f"no folder '{root}'; give one that holds a folder for each class")
    if (root / "meta" / "esc50.csv").is_file():
        raise UserError(f"'{root}' is in ESC-50's layout already; `python -m esc50tune.data check` looks at it")
    if os.path.lexists(out):
        raise UserError(f"'{out}' exists already; choose another name")
    if out.resolve().is_relative_to(root.resolve()):
        raise UserError(f"'{out}' would lie in '{root}', as if it were a class; choose another place")


def gather(root: Path) -> tuple[list[Take], list[Path]]:
    """Return the files below each class's folder, and those beside these folders; hidden ones are passed over."""
    takes, strays = [], []
    for folder in visible(root.iterdir(), root):
        if not folder.is_dir():
            strays.append(folder)
            continue
        for entry in visible(folder.iterdir(), root):
            source = clean(entry.name) if entry.is_dir() else f"{clean(folder.name)}/{clean(entry.name)}"
            for path in visible(entry.rglob("*"), root) if entry.is_dir() else [entry]:
                name = "/".join(map(clean, path.relative_to(root).parts))
                if path.is_file() or not path.exists():  # a link to nothing is named
                    takes.append(Take(path, clean(folder.name), name, source, path == entry))
    return takes, strays


def visible(paths: Iterable[Path], root: Path) -> list[Path]:
    """Return the paths without what systems hide, such as .DS_Store, in an order of their own."""
    return sorted(path for path in paths if not any(part.startswith(".") for part in path.relative_to(root).parts))


def clean(name: str) -> str:
    """Return the name of a file or folder without what a csv cannot hold."""
    return UNSAFE.sub("_", name).strip() or "_"


def without_copies(takes: Sequence[Take], sounds: Mapping[Path, Sound]) -> tuple[list[Take], dict[Path, str]]:
    """Return the takes without those that repeat an earlier one of their class, and what these repeat.

    Raises:
        UserError: two classes have the same sound.
    """
    first, kept, copies, disputed = {}, [], {}, []
    for take in takes:
        sound = sounds[take.path]
        earlier = first.setdefault(sound.digest, take)
        if earlier is take or sound.is_silent:
            kept.append(take)
        elif earlier.category == take.category:
            copies[take.path] = "the same sound as another file of the class"
        else:
            disputed.append(f"'{earlier.name}' = '{take.name}'")
    if disputed:
        raise UserError(f"the same sound in two classes: {listed(disputed)}; remove it from one of them")
    return kept, copies


def tell_left_out(root: Path, reasons: Mapping[Path, str], console: Console) -> None:
    paths = defaultdict(list)
    for path, why in reasons.items():
        paths[why].append(str(path.relative_to(root)))
    for why, names in paths.items():
        say(console, f"left out  {counted(len(names), 'file')}, {why}: {listed(names)}")


def refuse_names(takes: Sequence[Take], root: Path) -> None:
    """Refuse what came to have one name because the csv cannot hold its own, and names that are too long for it."""
    folders, paths = defaultdict(set), defaultdict(set)
    for take in takes:
        folders[take.category].add(take.path.relative_to(root).parts[0])
        paths[take.name].add(str(take.path.relative_to(root)))
    for name, found in (*folders.items(), *paths.items()):
        if len(found) > 1:
            raise UserError(f"'{root}': {listed(sorted(found))} would all be called '{name}'; rename all but one")
    for name in folders:
        if len(name) > LONGEST:
            raise UserError(f"'{root}': the class '{name}' has a name of more than {LONGEST} characters; shorten it")


def refuse_few(takes: Sequence[Take], root: Path, folds: int) -> None:
    sources = defaultdict(set)
    for take in takes:
        sources[take.category].add(take.source)
    if len(sources) < 2:
        found = f"audio in one folder alone ('{next(iter(sources))}')" if sources else "no folder with audio in it"
        raise UserError(f"'{root}' has {found}; a classifier needs two classes, each in a folder of its own")
    few = {name: len(found) for name, found in sources.items() if len(found) < folds}
    if few:
        least = min(few.values())
        fewer = f", or give --folds {least}" if least >= FEWEST else ""
        raise UserError(
            f"fewer than {folds} sources, one for each fold: {listed([f'{name} ({n})' for name, n in few.items()])}; "
            f"files in a class's folder, and folders in it, are its sources: add some, take such a class away{fewer}"
        )


def tell_sources(takes: Sequence[Take], console: Console) -> None:
    """Say which rule told the sources."""
    classes = defaultdict(set)
    for take in takes:
        if not take.is_alone:
            classes[take.source].add(take.category)
    alone = sum(take.is_alone for take in takes)
    if not classes:
        say(console, "sources   each file is one; takes of one recording belong into a folder in their class's folder")
        return
    shared = sorted(source for source, names in classes.items() if len(names) > 1)
    among = f" ({listed(shared)} in several classes)" if shared else ""
    also = f" and {counted(alone, 'file')} outside of them, each one source" if alone else ", each one source"
    say(console, f"sources   {counted(len(classes), 'folder')} of takes{among}{also}")


def write(takes: Sequence[Take], fold_of: Mapping[str, int], out: Path, console: Console) -> None:
    """Copy into a temporary folder beside `out`, then give it its name: there is never half of it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    need, free = sum(take.path.stat().st_size for take in takes), shutil.disk_usage(out.parent).free
    if need > free:
        raise UserError(f"the clips take {decimal(need)}, but '{out.parent}' has {decimal(free)} free; make room")
    say(console, f"copying   {counted(len(takes), 'clip')}, {decimal(need)}, to {out}")
    target = {name: i for i, name in enumerate(sorted({take.category for take in takes}))}
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-", ignore_cleanup_errors=True) as scratch:
        made = Path(scratch) / "made"  # the folder around it is closed to others
        for take in watched(takes, len(takes), "copying", console):
            place = made / "audio" / take.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(take.path, place)
        (made / "meta").mkdir()
        with (made / "meta" / "esc50.csv").open("w", newline="", encoding="utf-8") as file:
            rows = ((t.name, fold_of[t.source], target[t.category], t.category, t.source) for t in takes)
            csv.writer(file).writerows([COLUMNS, *rows])
        made.rename(out)
