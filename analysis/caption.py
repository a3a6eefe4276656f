"""What stands under every table: what its figures are, and what they may not be taken for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from analysis.load import Results


def caption(results: Results) -> str:
    """Say what the figures are and what they are not, the gravest first."""
    return " ".join([*warnings(results), *facts(results), *shortcomings(results)])


def untrained_arms(manifest: dict[str, Any]) -> list[str]:
    """Return the arms whose features come from an encoder with random weights."""
    wanted = {"feature": "encodec", "encodec_weights": "untrained"}
    return [arm["name"] for arm in manifest["arms"] if wanted.items() <= arm["fixed"].items()]


def warnings(results: Results) -> Iterator[str]:
    if results.manifest["data"]["stand_in"]:
        yield "STAND-IN DATA: procedural sounds, no recordings; these figures say nothing about ESC-50."
    untrained = untrained_arms(results.manifest)
    if untrained:
        yield (
            f"UNTRAINED ENCODER: {', '.join(untrained)}: EnCodec with random weights, a control "
            "that says nothing about EnCodec itself."
        )


def facts(results: Results) -> Iterator[str]:
    manifest, split, data = results.manifest, results.manifest["split"], results.manifest["data"]
    clips, train = split["val_clips"], ", ".join(map(str, split["train"]))
    rates = ", ".join(f"{int(rate):,}" for rate in data["rates"])
    seconds = manifest["arms"][0]["fixed"]["clip_seconds"]
    fitted = f"{data['padded']} clips padded and {data['cut']} cut to {seconds:g} s"
    yield f"Data: {data['title']}, recorded at {rates} Hz; {fitted}."
    if split["left_out"]:
        yield f"{split['left_out']} clips are left out: their source recording has takes on another side."
    yield f"Preset {manifest['preset']['name']}: {manifest['preset']['says']}."
    yield (
        f"Accuracy in % on the validation fold {split['val']} ({clips} clips), trained on folds {train} "
        f"({split['train_clips']} clips); a trial's score is that of its full schedule's last epoch. Training accuracy "
        "is that of clips as they were trained on, shifted and mixed."
    )
    if manifest["trials"] > len(manifest["arms"]):
        yield "Search results: the best of several trials is chosen on the clips that score it, so it is optimistic."
    error = 100.0 * np.sqrt(0.25 / clips)
    yield (
        f"On {clips} clips one score has a standard error of up to {error:.1f} points: a difference of a few points "
        "may be noise."
    )


def shortcomings(results: Results) -> Iterator[str]:
    manifest, reasons = results.manifest, results.trials["reason"].value_counts()
    if manifest["split"]["test"] is None:
        yield "NO TEST FOLD: this preset selects on the fold that it reports, as the original study did."
    for reason, word in (("error", "FAILED"), ("diverged", "DIVERGED")):
        if reason in reasons:
            yield f"{word}: {reasons[reason]} of {manifest['trials']} trials."
    missing = manifest["trials"] - int(reasons.drop("unfinished", errors="ignore").sum())
    if missing:
        yield f"INCOMPLETE: {missing} of {manifest['trials']} trials have not ended."
