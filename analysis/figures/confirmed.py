"""The figures of the confirmed runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from analysis.confirmed import Confirmed, arm_of
from analysis.figures.arms import arm_labels, marks_of
from analysis.figures.confusion import confusion
from analysis.figures.drawing import Drawing, counted
from analysis.figures.forest import forest
from analysis.layout import Part, make_parts
from analysis.statistics import compare


def confirmed_drawings(manifest: dict[str, Any], confirmed: Confirmed) -> Iterator[Drawing | None]:
    """Draw what the confirmed runs say of the arms of a sweep; nothing where there are none."""
    if not confirmed.block.folds:
        return
    correct, folds, sources = confirmed.correct()
    for part in make_parts(manifest, list(correct)):
        rows = [
            row
            for base, others in part.groups.items()
            for row in compare({arm: correct[arm] for arm in (base, *others)}, base, folds, sources)
        ]
        labels, marks = row_labels(manifest, part), marks_among(manifest, confirmed, part.members)
        yield forest(part.name, part.title, rows, labels, marks, basis(confirmed))
    arm = shown_arm(manifest["reference"], correct)
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
    runs = f"{counted(block.seeds, 'seed')} each, {counted(len(confirmed.tested), 'clip')}"
    seen = f"the search had trained or selected on folds {listed(manifest['searched'])}"
    return f"Tested on folds {listed(block.folds)} in turn, {runs}; {seen}."


def listed(folds: Iterable[int]) -> str:
    return ",\N{NO-BREAK SPACE}".join(map(str, folds))


def shown_arm(reference: str | None, correct: dict[str, np.ndarray]) -> str:
    """Return the arm that all others are compared with, and where there is none, the best at its best setting."""
    if reference in correct:
        return reference
    first = [arm for arm in correct if arm == arm_of(arm)] or list(correct)
    return max(first, key=lambda arm: correct[arm].mean())


def class_names(confirmed: Confirmed) -> list[str]:
    return [name.replace("_", " ") for name in confirmed.manifest["data"]["classes"]]
