"""The figures of a sweep and of its confirmed runs."""

from __future__ import annotations

from pathlib import Path

from matplotlib import style

from analysis.figures.confirmed import confirmed_drawings
from analysis.figures.drawing import STYLE, Figure, write
from analysis.figures.search import search_drawings
from analysis.load import Results
from analysis.outcome import Outcome

__all__ = ["Figure", "make_figures"]


def make_figures(results: Results, outcome: Outcome | None, folder: Path) -> list[Figure]:
    """Write the figures that there are data for into `folder`, which is made if need be, as PNG and SVG."""
    with style.context(["default", STYLE]):
        phases = {
            "search": search_drawings(results),
            "confirmed": confirmed_drawings(results.manifest, outcome) if outcome else (),
        }
        return [write(drawing, phase, folder) for phase in phases for drawing in phases[phase] if drawing]
