"""What may be wrong with data although a sweep can run on them, in sentences."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from esc50tune.data.cache import ClipCache, describe_rows
from esc50tune.data.clips import TrialData, open_confirmation_data
from esc50tune.data.dataset import Clip, Dataset
from esc50tune.data.examine import CLIPPED, SILENT, Sound
from esc50tune.data.lines import counted, listed
from esc50tune.errors import UserError

HEARD = 0.5  # share of all sound
UNEVEN = 3  # times as many clips as the smallest class has


class Rows(ClipCache):
    """The rows of the csv as a cache without samples: which clip is on which side follows from the rows alone."""

    def fold(self, number: int) -> np.ndarray:
        return np.zeros((len(self.labels[number]), 0), np.int16)


def rows_of(dataset: Dataset) -> Rows:
    return Rows(dataset.root, **describe_rows(dataset), facts={})


def warnings(dataset: Dataset, sounds: Mapping[Clip, Sound], usual: float, data: TrialData | None) -> Iterator[str]:
    """Yield a sentence for each thing that a user should know, the gravest first.

    Args:
        sounds: facts of the clips that can be used.
        usual: seconds that a sweep takes of a clip.
        data: what a sweep would train and select on; None where none can run.
    """
    apart, leaking, other = same_sounds(sounds)
    if apart:
        yield f"the same sound in several classes: {named(apart)}; keep one of each"
    if leaking:
        yield f"the same sound in several folds, trained on and tested: {named(leaking)}; keep one of each"
    yield from leaks(dataset, data)
    yield from gaps(dataset)
    if data:
        yield from untestable(dataset)
    yield from unheard(sounds, usual)
    yield from told_by_rate(sounds)
    yield from spoiled(sounds)
    yield from uneven(dataset)
    if other:
        yield f"the same sound several times: {named(other)}"
    yield from unlisted(dataset)


def same_sounds(sounds: Mapping[Clip, Sound]) -> tuple[list[list[Clip]], list[list[Clip]], list[list[Clip]]]:
    """Return groups of clips with the same samples: of several classes; of several folds and sources, so that they get
    onto two sides; others. Silent clips are told apart from that.
    """
    groups = defaultdict(list)
    for clip, sound in sounds.items():
        if not sound.is_silent:
            groups[sound.digest].append(clip)
    apart, leaking, other = [], [], []
    for clips in groups.values():
        classes, folds, sources = ({getattr(clip, key) for clip in clips} for key in ("category", "fold", "src_file"))
        if len(classes) > 1:
            apart.append(clips)
        elif len(folds) > 1 and len(sources) > 1:
            leaking.append(clips)
        elif len(clips) > 1:
            other.append(clips)
    return apart, leaking, other


def named(groups: Sequence[Sequence[Clip]]) -> str:
    return listed([" = ".join(clip.filename for clip in clips) for clips in groups])


def leaks(dataset: Dataset, data: TrialData | None) -> Iterator[str]:
    folds = defaultdict(set)
    for clip in dataset.clips:
        folds[clip.src_file].add(clip.fold)
    several = [source for source, found in folds.items() if len(found) > 1]
    if several:
        here = f", {counted(data.train.left_out + data.val.left_out, 'clip')} here" if data else ""
        yield (
            f"{counted(len(several), 'source')} with clips in several folds: {listed(several)}; a sweep leaves out "
            f"what would be on two sides{here}"
        )


def gaps(dataset: Dataset) -> Iterator[str]:
    there = {(clip.category, clip.fold) for clip in dataset.clips}
    missing = defaultdict(list)
    for name in dataset.classes:
        for fold in dataset.folds:
            if (name, fold) not in there:
                missing[name].append(str(fold))
    if missing:
        where = listed([f"'{name}' ({', '.join(folds)})" for name, folds in missing.items()])
        yield f"classes without a clip in some fold, whose score says nothing about them: {where}"


def untestable(dataset: Dataset) -> Iterator[str]:
    for fold in dataset.folds:
        try:
            open_confirmation_data(rows_of(dataset), fold)
        except UserError as error:
            yield f"sweeps/confirm.py cannot test on fold {fold}: {error}"


def unheard(sounds: Mapping[Clip, Sound], usual: float) -> Iterator[str]:
    total = sum(sound.seconds for sound in sounds.values())
    heard = sum(min(sound.seconds, usual) for sound in sounds.values())
    if heard < HEARD * total:
        yield (
            f"a sweep hears {100 * heard / total:.0f} % of the sound, the first {usual:g} s of a clip: cut long "
            "recordings into clips, those of one recording with one src_file"
        )


def told_by_rate(sounds: Mapping[Clip, Sound]) -> Iterator[str]:
    rates = defaultdict(set)
    for clip, sound in sounds.items():
        rates[clip.category].add(sound.rate)
    pairs = [(a, b) for a, b in combinations(rates, 2) if not rates[a] & rates[b]]
    if pairs:
        a, b = pairs[0]
        lowest = min(sound.rate for sound in sounds.values())
        yield (
            f"classes without a sample rate in common, such as '{a}' ({hertz(rates[a])}) and '{b}' ({hertz(rates[b])}):"
            f" a model may tell them by the rate; with --set sample_rate={lowest} it hardly can"
        )


def hertz(rates: set[int]) -> str:
    return ", ".join(f"{rate:,}" for rate in sorted(rates)) + " Hz"


def spoiled(sounds: Mapping[Clip, Sound]) -> Iterator[str]:
    silent = [clip.filename for clip, sound in sounds.items() if sound.is_silent]
    if silent:
        level = f"{20 * np.log10(SILENT):.0f} dB of full scale"
        yield f"{counted(len(silent), 'silent clip')}, with nothing above {level}: {listed(silent)}"
    clipped = [clip.filename for clip, sound in sounds.items() if sound.is_clipped]
    if clipped:
        share = f"more than {100 * CLIPPED:g} % of the samples"
        yield f"{counted(len(clipped), 'clipped clip')}, with {share} at full scale: {listed(clipped)}"


def uneven(dataset: Dataset) -> Iterator[str]:
    (most, many), *_, (least, few) = Counter(clip.category for clip in dataset.clips).most_common()
    if many >= UNEVEN * few:
        yield (
            f"'{most}' has {counted(many, 'clip')}, '{least}' {few}: scores are shares of all clips, "
            f"{100 * many / len(dataset.clips):.0f} % for a model that always says '{most}'"
        )


def unlisted(dataset: Dataset) -> Iterator[str]:
    audio, known = dataset.root / "audio", {dataset.audio_path(clip) for clip in dataset.clips}
    files = [path.relative_to(audio) for path in sorted(audio.rglob("*")) if path.is_file() and path not in known]
    strays = [str(path) for path in files if not any(part.startswith(".") for part in path.parts)]
    if strays:
        yield f"files of audio/ that no row of the csv names: {listed(strays)}"
