"""The figures of the confirmed runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from analysis.caption import counted, folds_words
from analysis.confirmed import Confirmed, arm_of
from analysis.figures.arms import arm_labels, marks_of
from analysis.figures.confusion import confusion
from analysis.figures.drawing import Drawing
from analysis.figures.forest import forest
from analysis.layout import Part
from analysis.outcome import Outcome


def confirmed_drawings(manifest: dict[str, Any], outcome: Outcome) -> Iterator[Drawing | None]:
    """Draw what the confirmed runs say of the arms of a sweep."""
    confirmed = outcome.confirmed
    for part in outcome.parts:
        rows = list(outcome.comparisons[part.name].values())
        labels, marks = row_labels(manifest, part), marks_among(manifest, confirmed, part.members)
        yield forest(part.name, part.title, rows, labels, marks, basis(confirmed))
    arm = shown_arm(manifest["reference"], outcome)
    targets = confirmed.tested["target"].to_numpy()
    marks = marks_among(manifest, confirmed, [arm])
    label = arm_labels(manifest, [arm])[arm]
    yield confusion(targets, confirmed.predicted()[arm], class_names(confirmed), label, marks, basis(confirmed))


def row_labels(manifest: dict[str, Any], part: Part) -> dict[str, str]:
    """Return what each row is called: its arm, and the other one where that is not the same in all rows."""
    labels = arm_labels(manifest, part.members)
    if list(part.groups) == [manifest["reference"]]:
        return labels
    bases = {arm: base for base, others in part.groups.items() for arm in others}
    return {arm: f"{labels[arm]}\nagainst {labels[base]}" for arm, base in bases.items()}


def marks_among(manifest: dict[str, Any], confirmed: Confirmed, labels: list[str]) -> list[str]:
    names = {arm_of(label) for label in labels}
    return marks_of([arm for arm in manifest["arms"] if arm["name"] in names], confirmed.manifest["data"])


def basis(confirmed: Confirmed) -> str:
    """Say which runs a figure is based on, and what of their data the search had seen."""
    block, manifest = confirmed.block, confirmed.manifest
    tested, searched = (unbroken(folds_words(folds)) for folds in (block.folds, manifest["searched"]))
    runs = f"{counted(block.seeds, 'seed')} each, {counted(len(confirmed.tested), 'clip')}"
    turn = " in turn" * (len(block.folds) > 1)
    return f"Tested on {tested}{turn}, {runs}; the search had trained or selected on {searched}."


def unbroken(words: str) -> str:
    return words.replace(" ", "\N{NO-BREAK SPACE}")


def shown_arm(reference: str | None, outcome: Outcome) -> str:
    """Return the arm that all others are compared with, and where there is none, the best at its best setting."""
    if reference in outcome.accuracy:
        return reference
    first = [arm for arm in outcome.accuracy if arm == arm_of(arm)] or list(outcome.accuracy)
    return max(first, key=lambda arm: outcome.accuracy[arm][0])


def class_names(confirmed: Confirmed) -> list[str]:
    return [name.replace("_", " ") for name in confirmed.manifest["data"]["classes"]]
