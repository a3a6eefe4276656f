"""`check`: what is right and wrong with a folder in ESC-50's layout."""

from __future__ import annotations

import contextlib
import csv
import math
import shlex
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from esc50tune.data.clips import TrialData, open_search_data
from esc50tune.data.dataset import COLUMNS, Clip, Dataset, read_clip, read_dataset
from esc50tune.data.examine import Sound, examine_all
from esc50tune.data.findings import rows_of, warnings
from esc50tune.data.lines import counted, listed, say
from esc50tune.data.locate import usual_seconds
from esc50tune.data.split import Split, search_split
from esc50tune.errors import UserError

SHORTEST = 0.4  # seconds; of much shorter clips, the default models have no frame left at their end
TOLERANCE = 0.01  # seconds: as a sweep, it has no word for a surplus or lack of that


def check(root: Path, console: Console) -> bool:
    """Print what is right and wrong with a folder, errors on standard error; return whether a sweep can run on it."""
    try:
        dataset = read_dataset(root)
    except UserError as error:
        print_errors(wrong_rows(root, str(error)))
        say(console, "no sweep can run on it; its clips were not listened to")
        return False
    sounds, errors = listen(dataset, console)
    usual = usual_seconds(dataset)
    split, data = None, None
    try:
        split = usual_split(dataset)
        data = open_search_data(rows_of(dataset), split)
    except UserError as error:
        errors.append(str(error))
    print_counts(dataset, console)
    for line in (*facts(dataset, sounds, usual), *(sides(dataset, split, data) if data else ())):
        say(console, line)
    print_errors(errors)
    found = list(warnings(dataset, sounds, usual, data))
    for warning in found:
        say(console, f"warning: {warning}")
    if errors:
        say(console, "no sweep can run on it")
        return False
    if not found:
        say(console, "no clip is silent, clipped or there twice, no source in several folds")
    say(console, f"a sweep can run on it: {sweep_command(root, split, usual)}", whole=True)
    return True


def wrong_rows(root: Path, first: str) -> list[str]:
    """Return the error `first`, and that of each row which has one: who reads the table stops at the first."""
    path, errors = root / "meta" / "esc50.csv", [first]
    with (
        contextlib.suppress(OSError, UnicodeDecodeError, csv.Error),
        path.open(newline="", encoding="utf-8-sig") as file,
    ):
        reader = csv.DictReader(file)
        for row in reader if set(COLUMNS) <= set(reader.fieldnames or ()) else ():
            try:
                read_clip(row, f"'{path}', line {reader.line_num}")
            except UserError as error:
                errors.append(str(error))
    return list(dict.fromkeys(errors))


def listen(dataset: Dataset, console: Console) -> tuple[dict[Clip, Sound], list[str]]:
    """Return the facts of the clips that can be used, and a sentence for each reason why others cannot."""
    paths = {dataset.audio_path(clip): clip for clip in dataset.clips}
    sounds, faults = examine_all(list(paths), console)
    why = defaultdict(list)
    for path, fault in faults.items():
        why[fault].append(paths[path].filename)
    errors = [
        f"{counted(len(names), 'clip')}, {fault}: {listed(names)}; mend it in audio/, or take its row out of the csv"
        for fault, names in sorted(why.items(), key=lambda reason: -len(reason[1]))
    ]
    return {paths[path]: sound for path, sound in sounds.items()}, errors


def usual_split(dataset: Dataset) -> Split:
    """Return the folds as sweeps use them: 5 tests and 4 selects; without these two, the last and the one before it.

    Raises:
        UserError: there are fewer than three.
    """
    folds = dataset.folds
    if len(folds) < 3:
        raise UserError(
            f"'{dataset.root}' has {counted(len(folds), 'fold')}: a sweep trains, selects and tests on three"
        )
    test, val = (5, 4) if {4, 5} <= set(folds) else (folds[-1], folds[-2])
    return search_split(dataset, test, val)


def sweep_command(root: Path, split: Split, usual: float) -> str:
    flags = "" if (split.test, split.val) == (5, 4) else f" --test-fold {split.test} --val-fold {split.val}"
    flags += f" --set clip_seconds={SHORTEST:g}" if usual < SHORTEST else ""
    return f"python sweeps/regularization.py --data {shlex.quote(str(root))}{flags}"


def print_counts(dataset: Dataset, console: Console) -> None:
    """Print how many clips each class has in each fold."""
    counts = Counter((clip.category, clip.fold) for clip in dataset.clips)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("class")
    for name in (*dataset.folds, "all"):
        table.add_column(f"fold {name}" if name != "all" else name, justify="right")
    for name in dataset.classes:
        row = [counts[name, fold] for fold in dataset.folds]
        table.add_row(name, *map(str, (*row, sum(row))))
    total = [sum(counts[name, fold] for name in dataset.classes) for fold in dataset.folds]
    table.add_row("all", *map(str, (*total, sum(total))))
    console.print(table, markup=False)


def facts(dataset: Dataset, sounds: Mapping[Clip, Sound], usual: float) -> Iterator[str]:
    """Yield what the clips are like, and what a sweep does to make them alike."""
    heard = list(sounds.values())
    if heard:
        fit, lengths = max(usual, SHORTEST), [sound.seconds for sound in heard]
        padded = sum(length < fit - TOLERANCE for length in lengths)
        cut = sum(length > fit + TOLERANCE for length in lengths)
        rates = ", ".join(f"{rate:,}" for rate in sorted({sound.rate for sound in heard}))
        fitted = f"a sweep pads {counted(padded, 'clip')} and cuts {cut} to {fit:g} s"
        yield f"Data: {dataset.title}, recorded at {rates} Hz; {fitted}"
        yield (
            f"lengths   {min(lengths):.2g} s the shortest, {statistics.median(lengths):.2g} s the median, "
            f"{max(lengths):.2g} s the longest"
        )
        yield f"rates     {tally(f'{rate:,} Hz' for rate in sorted(sound.rate for sound in heard))}"
        yield f"channels  {tally(str(channels) for channels in sorted(sound.channels for sound in heard))}"
        yield f"formats   {tally(sorted(sound.form for sound in heard))}"
    sources = len({clip.src_file for clip in dataset.clips})
    alone = ", one a clip: those that are cut from one recording need the same src_file"
    yield f"sources   {sources:,}{alone if sources == len(dataset.clips) else ''}"


def tally(values: Iterable[str]) -> str:
    """Return each value with the number of its clips."""
    return ", ".join(f"{value} ({counted(number, 'clip')})" for value, number in Counter(values).items())


def sides(dataset: Dataset, split: Split, data: TrialData) -> Iterator[str]:
    """Yield what a sweep would train, select and test on."""
    tested = sum(clip.fold == split.test for clip in dataset.clips)
    error = 100 * math.sqrt(0.25 / len(data.val))
    yield (
        f"folds     {', '.join(map(str, split.train))} train ({counted(len(data.train), 'clip')}), {split.val} selects "
        f"({len(data.val):,}), {split.test} tests ({tested:,}); one score's standard error is up to {error:.1f} points"
    )
    label, fewest = Counter(data.train.labels.tolist()).most_common()[-1]
    smallest = f"'{dataset.classes[label]}', {counted(fewest, 'clip')}"
    yield f"classes   the smallest to train on: {smallest}; a sweep runs with one"


def print_errors(errors: list[str]) -> None:
    for error in errors:
        print(f"error: {UserError(error)}", file=sys.stderr)
