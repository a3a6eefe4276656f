"""A table as LaTeX, with booktabs' rules."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

from analysis.table import Column, Table

NARROW = 8  # signs on a line of a heading
SENTENCE = 30  # signs in a cell that is broken into lines
LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # at the start of a row it would be the optional argument of the line break before it
    "–": "--",
    "≥": r"$\geq$",
    "×": r"$\times$",
}


def latex_text(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)


def latex_cell(text: str) -> str:
    """Write a cell; the hyphen before a figure is a minus."""
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", latex_text(text))


def as_latex(table: Table) -> str:
    """Return the table as LaTeX; it wants `\\usepackage{booktabs,graphicx}`, and is made to fit the page's width."""
    columns, cells = table.on_paper, table.cells(table.on_paper)
    lines = [latex_line([heading(column) for column in columns]), r"\midrule"]
    for row, starts in zip(cells, table.starts, strict=True):
        lines += [r"\midrule"] * starts + [latex_line(map(latex_cell, row))]
    body, sides = "\n".join(lines), "".join(map(alignment, columns, zip(*cells, strict=True)))
    return rf"""% needs \usepackage{{booktabs,graphicx}}
\begin{{table}}
\centering
\caption{{{latex_text(table.title)}}}
\label{{tab:{table.name}}}
\footnotesize
\setlength{{\tabcolsep}}{{3pt}}
\resizebox{{\ifdim\width>\linewidth\linewidth\else\width\fi}}{{!}}{{%
\begin{{tabular}}{{{sides}}}
\toprule
{body}
\bottomrule
\end{{tabular}}}}
\par\medskip
\parbox{{\linewidth}}{{{latex_text(table.caption)}}}
\end{{table}}
"""


def heading(column: Column) -> str:
    """Write what stands above a column, on lines of few words."""
    lines = map(latex_text, textwrap.wrap(column.heading, NARROW, break_long_words=False))
    side = "l" if column.words else "r"
    return rf"\shortstack[{side}]{{" + r"\\".join(lines) + "}"


def latex_line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def alignment(column: Column, cells: tuple[str, ...]) -> str:
    """Return how a column is set; one of sentences has lines of its own."""
    if any(len(cell) > SENTENCE for cell in cells):
        return r"p{11em}"
    return "l" if column.words else "r"
