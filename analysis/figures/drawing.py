"""What all figures share: how they look, what stands above them, and how they are written."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Page
from matplotlib.lines import Line2D
from scipy.optimize import isotonic_regression

WIDTH = 7.0  # inches: what a page of text leaves
COLUMNS = 3  # of small panels; more would leave no room for their names

# Okabe and Ito's colours, without the yellow, which white paper swallows
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY, LIGHT, FAINT = "#767676", "#BBBBBB", "#E4E4E4"

STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine draws the same
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "figure.labelsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "text.parse_math": False,  # names of arms and classes are no formulas
    "svg.hashsalt": "esc50tune",  # the same data give the same bytes
}


@dataclass(frozen=True)
class Drawing:
    """A figure that is not written yet; `alt` says what it shows to readers who cannot see it."""

    name: str
    title: str
    alt: str
    page: Page


@dataclass(frozen=True)
class Figure:
    """A figure in its two files; `phase` is that of the study, search or confirmed. Other attributes as `Drawing`'s."""

    name: str
    title: str
    phase: str
    png: Path
    svg: Path
    alt: str


def new_page(height: float, title: str, marks: Iterable[str] = (), note: str = "") -> Page:
    """Return an empty page, with its title, its marks and a note above `height` inches for axes.

    Args:
        height: in inches, without the lines above.
        title: the headline.
        marks: what the figure may not be taken for, each a line or more.
        note: how to read it.
    """
    marked = {"weight": "bold", "color": VERMILION}
    lines = [(line, 0.18, {"weight": "bold", "size": 9.5}) for line in textwrap.wrap(title, 84)]
    lines += [(line, 0.15, marked) for mark in marks for line in textwrap.wrap(mark, 98)]
    lines += [(line, 0.15, {"color": GREY}) for line in textwrap.wrap(note, 116)]
    total = height + 0.1 + sum(leading for _, leading, _ in lines)
    page = Page(figsize=(WIDTH, total), layout="constrained", facecolor="white")
    page.get_layout_engine().set(rect=(0, 0, 1, height / total))
    top = total - 0.06
    for line, leading, looks in lines:
        page.text(0.08 / WIDTH, top / total, line, va="top", **looks)
        top -= leading
    return page


def small_panels(count: int, ylabel: str, title: str, marks: Iterable[str], note: str = "") -> tuple[Page, list[Axes]]:
    """Return a page with `count` equal panels that share a vertical axis, called `ylabel`; the rest as `new_page`'s."""
    rows = -(-count // COLUMNS)
    height = 0.75 + 1.55 * rows
    page = new_page(height, title, marks, note)
    grid = page.subplots(rows, -(-count // rows), squeeze=False, sharey=True).ravel()
    for axes in grid[count:]:
        axes.remove()
    page.supylabel(ylabel, y=0.5 * height / page.get_figheight())  # the middle of the panels, not of the page
    return page, list(grid[:count])


def legend_below(page: Page, looks: Mapping[str, dict[str, Any]]) -> None:
    """Write a legend of what is drawn with each look below the panels."""
    handles = [Line2D([], [], label=label, **look) for label, look in looks.items()]
    page.legend(handles=handles, loc="outside lower center", ncols=len(handles), columnspacing=1.4)


def spread(places: Sequence[float], gap: float) -> np.ndarray:
    """Return `places`, moved as little as need be to be `gap` apart, in the same order."""
    order = np.argsort(places, kind="stable")
    apart = gap * np.arange(len(order))
    moved = np.empty(len(order))
    moved[order] = isotonic_regression(np.asarray(places)[order] - apart).x + apart
    return moved


def write(drawing: Drawing, phase: str, folder: Path) -> Figure:
    """Write a drawing as PNG and SVG, each in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {ending: folder / f"{drawing.name}.{ending}" for ending in ("png", "svg")}
    # matplotlib's version and the date would make equal figures differ
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    for ending, path in paths.items():
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        about = metadata[ending] | {"Title": drawing.title, "Description": drawing.alt}
        drawing.page.savefig(temporary, format=ending, dpi=200, metadata=about)
        temporary.replace(path)
    return Figure(drawing.name, drawing.title, phase, paths["png"], paths["svg"], drawing.alt)
