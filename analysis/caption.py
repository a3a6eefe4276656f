"""What stands under every table: what its figures are, and what they may not be taken for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from analysis.features import encoder
from analysis.load import Results
from analysis.provenance import discrepancies

TRAINING = "Training accuracy is that of clips as they were trained on, shifted and mixed."


def caption(results: Results) -> str:
    """Say what a search's figures are and what they are not, the gravest first."""
    parts = [warnings(results), data_facts(results), facts(results), methods(results), shortcomings(results)]
    return " ".join(sentence for part in parts for sentence in part)


def confirmed_caption(results: Results, comparing_tables: int) -> str:
    """Say what the figures of confirmed runs are and what they are not, the gravest first.

    Args:
        results: the sweep.
        comparing_tables: how many of its tables compare arms.
    """
    parts = [warnings(results), discrepancies(results), data_facts(results), tested(results), methods(results)]
    if comparing_tables:
        parts.append(comparing(comparing_tables))
    parts.append([f"{TRAINING} Epochs and seconds are those of one run."])
    return " ".join(sentence for part in parts for sentence in part)


def errors_caption(results: Results, what: str) -> str:
    """Say what the figures by class of confirmed runs are; `what` names them."""
    return " ".join([*warnings(results), *discrepancies(results), *tested(results, what)])


def clean_caption(results: Results) -> str:
    """Say what the figures of the clean test fold are."""
    clean = (
        "Accuracy in % on the one fold that the search neither trained nor selected on, of the same runs as in the "
        "other tables. It has fewer clips, so its intervals are wider; no verdict is drawn from it."
    )
    return " ".join([*warnings(results), *discrepancies(results), clean, *divergences(results)])


def arms_by(manifest: dict[str, Any], trait: Callable[[dict[str, Any]], Any]) -> dict[Any, list[str]]:
    """Return the names of the arms that have a trait alike, in the manifest's order, by that trait."""
    names: dict[Any, list[str]] = {}
    for arm in manifest["arms"]:
        names.setdefault(trait(arm), []).append(arm["name"])
    return names


def crops(arm: dict[str, Any]) -> tuple[float, int]:
    """Return the length in seconds of an arm's crops, 0 for whole clips, and how many of them an evaluation sees."""
    return arm["fixed"]["crop_seconds"], arm["fixed"]["crop_views"]


def code_weight(arm: dict[str, Any]) -> str:
    """Return the weight of an arm's language-model task, or its range where the search varies it; nothing without."""
    if "code_lm" in arm["space"]:
        return "{low:g} to {high:g}".format(**arm["space"]["code_lm"])
    weight = arm["fixed"]["code_lm"]
    return f"{weight:g}" if weight else ""


def warnings(results: Results) -> Iterator[str]:
    if results.stand_in:
        yield "STAND-IN DATA: procedural sounds, no recordings; these figures say nothing about ESC-50."
    encoders = arms_by(results.manifest, lambda arm: encoder(arm["fixed"]))
    if "untrained" in encoders:
        yield (
            f"* UNTRAINED ENCODER: {', '.join(encoders['untrained'])}: EnCodec with random weights, a control "
            "that says nothing about EnCodec itself."
        )
    if "file" in encoders:  # which one is left out: its path tells of the user's machine
        yield f"EnCodec's weights from a file: {', '.join(encoders['file'])}."


def methods(results: Results) -> Iterator[str]:
    """Say what arms do in training that their names need not tell."""
    for (seconds, views), arms in arms_by(results.manifest, crops).items():
        if seconds:
            train = "trains" if len(arms) == 1 else "train"
            crop = f"{train} on random crops of {seconds:g} s"
            yield f"{', '.join(arms)} {crop}; evaluation averages {views} of them, evenly spaced."
    for weight, arms in arms_by(results.manifest, code_weight).items():
        if weight:
            predict = "predicts" if len(arms) == 1 else "predict"
            yield f"{', '.join(arms)} also {predict} EnCodec's codes of the next frame (weight {weight})."


def data_facts(results: Results) -> Iterator[str]:
    manifest, data = results.manifest, results.manifest["data"]
    rates = ", ".join(f"{int(rate):,}" for rate in data["rates"])
    seconds = manifest["arms"][0]["fixed"]["clip_seconds"]
    fitted = f"{data['padded']} clips padded and {data['cut']} cut to {seconds:g} s"
    yield f"Data: {data['title']}, recorded at {rates} Hz; {fitted}."
    if manifest["split"]["left_out"]:
        left_out = manifest["split"]["left_out"]
        yield f"{left_out} clips are left out of the search: their source recording has takes on another side."
    yield f"Preset {manifest['preset']['name']}: {manifest['preset']['says']}."


def facts(results: Results) -> Iterator[str]:
    manifest, split = results.manifest, results.manifest["split"]
    clips, train = split["val_clips"], listed(split["train"])
    yield (
        f"Accuracy in % on the validation fold {split['val']} ({clips:,} clips), trained on folds {train} "
        f"({split['train_clips']:,} clips); a trial's score is that of its full schedule's last epoch. {TRAINING}"
    )
    if manifest["trials"] > len(manifest["arms"]):
        yield "Search results: the best of several trials is chosen on the clips that score it, so it is optimistic."
    error = 100.0 * np.sqrt(0.25 / clips)
    yield (
        f"On {clips:,} clips one score has a standard error of up to {error:.1f} points: a difference of a few points "
        "may be noise."
    )


def tested(results: Results, what: str = "Accuracy in %") -> Iterator[str]:
    """Say what the confirmed runs were tested on, and how far the search had seen it."""
    confirmed = results.confirmed
    block = confirmed.block
    yield (
        f"{what} on the {len(confirmed.tested):,} clips of {folds_words(block.folds)}, each tested by models "
        f"trained from scratch on all other folds, with {counted(block.seeds, 'seed')}; every configuration was frozen "
        "before its first test, and the last epoch counts."
    )
    yield from selected_on(results)
    yield from divergences(results)
    yield from confirmed.left_out


def divergences(results: Results) -> Iterator[str]:
    """Say which confirmed runs diverged, and that they count: to leave them out would favour arms that fail."""
    diverged = results.confirmed.diverged() if results.confirmed else {}
    if diverged:
        which = ", ".join(f"{arm} ({found.runs} of {found.of})" for arm, found in diverged.items())
        lacking = sum(found.predictions for found in diverged.values())
        yield f"DIVERGED: confirmed runs of {which}; the {lacking:,} predictions that they lack count as wrong."


def selected_on(results: Results) -> Iterator[str]:
    """Say which of the tested folds the search had trained or selected on."""
    confirmed = results.confirmed
    searched = [fold for fold in confirmed.block.folds if fold in confirmed.manifest["searched"]]
    clean, were = confirmed.manifest["test_fold"], "were" if len(searched) > 1 else "was"
    if searched:
        yield f"{folds_words(searched).capitalize()} {were} also used to select these configurations."
    if clean is None:
        yield "NO TEST FOLD was kept from the search."
    elif clean not in confirmed.block.folds:
        yield f"Fold {clean}, which the search never saw, is not tested."
    else:
        yield f"The search never saw fold {clean}" + ("; its result stands apart." if searched else ".")


def comparing(tables: int) -> Iterator[str]:
    """Say how arms are compared. Only the words `better` and `worse` claim a difference."""
    # Bonferroni's bound: `python -m sweeps.simulate` finds about 6 % for the two tables of `sweeps/regularization.py`.
    several = f": the chance of any false call is 5 % in each table, up to {5 * tables} % in the {tables} together"
    yield (
        "Differences are in points, paired clip by clip; intervals of differences hold for all comparisons of a "
        f"table together, and verdicts follow Holm's p, adjusted for all of them{several * (tables > 1)}. No "
        "difference seen (≥ x): none is shown, and one of x points or more would have been found in 8 of 10 such "
        "studies. Nadeau and Bengio's p decides nothing."
    )


def listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def folds_words(folds: Sequence[int]) -> str:
    return f"fold{'s' * (len(folds) > 1)} {listed(folds)}"


def counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def shortcomings(results: Results) -> Iterator[str]:
    manifest, reasons = results.manifest, results.trials["reason"].value_counts()
    if manifest["split"]["test"] is None:
        yield "NO TEST FOLD: this preset selects on the fold that it reports, as the original study did."
    for reason, word in (("error", "FAILED"), ("diverged", "DIVERGED")):
        if reason in reasons:
            yield f"{word}: {reasons[reason]} of {manifest['trials']} trials."
    if results.lost:  # how many ended is not known then
        yield results.lost
    elif results.unended:
        yield f"INCOMPLETE: {results.unended} of {manifest['trials']} trials have not ended; --resume goes on."
