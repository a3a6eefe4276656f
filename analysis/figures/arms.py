"""How arms are named and told apart, the same in every figure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from analysis.confirmed import arm_of
from analysis.features import encoder
from analysis.figures.drawing import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION

COLOURS = (BLACK, ORANGE, BLUE, GREEN, VERMILION, SKY, PURPLE)
MARKERS = "os^XvD<P>hpd"
DASHES = ("-", "--", "-.", ":")


class Look(NamedTuple):
    point: dict[str, Any]
    line: dict[str, Any]


def look_of(number: int) -> Look:
    """Return the look of a sweep's arm: its marker is its own where there are no more than there are markers."""
    colour = COLOURS[number % len(COLOURS)]
    point = {"marker": MARKERS[number % len(MARKERS)], "markersize": 6.5, "color": colour}
    point |= {"markeredgecolor": "white", "markeredgewidth": 0.5}  # so that points that overlap stay apart
    return Look(point, {"linestyle": DASHES[number % len(DASHES)], "linewidth": 1.3})


def arm_labels(manifest: dict[str, Any], labels: Iterable[str]) -> dict[str, str]:
    """Return what each arm is called, with the star of the tables where its encoder is untrained."""
    untrained = {arm["name"] for arm in manifest["arms"] if is_untrained(arm)}
    return {label: f"{label} *" if arm_of(label) in untrained else label for label in labels}


def is_untrained(arm: dict[str, Any]) -> bool:
    return encoder(arm["fixed"]) == "untrained"


def marks_of(arms: list[dict[str, Any]], data: dict[str, Any]) -> list[str]:
    """Return what must stand in a figure of these arms: that its data are no recordings, or an encoder is untrained."""
    marks = ["STAND-IN DATA: procedural sounds, no recordings"] if data["stand_in"] else []
    if any(map(is_untrained, arms)):
        marks.append("* UNTRAINED ENCODER: EnCodec with random weights, which say nothing about EnCodec")
    return marks
