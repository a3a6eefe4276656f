"""The figures of a sweep and of its confirmed runs."""

from __future__ import annotations

from pathlib import Path

from matplotlib import style

from analysis.confirmed import Confirmed
from analysis.figures.confirmed import confirmed_drawings
from analysis.figures.drawing import STYLE, Figure, write
from analysis.figures.search import search_drawings
from analysis.load import Results

__all__ = ["Figure", "make_figures"]


def make_figures(results: Results, confirmed: Confirmed | None, folder: Path) -> list[Figure]:
    """Write the figures that there are data for into `folder`, which is made if need be, as PNG and SVG."""
    with style.context(["default", STYLE]):
        drawings = [*search_drawings(results), *(confirmed_drawings(results.manifest, confirmed) if confirmed else ())]
        return [write(drawing, folder) for drawing in drawings if drawing]
