"""Tables in the forms that have signs of their own."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from analysis.latex import as_latex
from analysis.render import as_csv, as_markdown
from analysis.table import Column, Table, between, figure, number, percent, signed, text


def made_table(names: list[str], caption: str = "what it is") -> Table:
    frame = pd.DataFrame({"points": [-1.5, 1234.5][: len(names)]}, index=pd.Index(names, name="class"))
    columns = [Column(text("class"), "class_name", "class", words=True), Column(number("points"), "points, %", "pts")]
    return Table("made", "A #1 title", caption, frame, columns, names[1:], {"data": "50 % & more"})


@pytest.mark.parametrize(
    ("points", "words"),
    [(2.34, "+2.3"), (-2.36, "-2.4"), (0.04, "+0.04"), (-0.004, "-0.004"), (1e-9, "> 0"), (-1e-9, "< 0"), (0.0, "0.0")],
)
def test_a_difference_keeps_its_side_of_0(points: float, words: str) -> None:
    assert signed(points) == words


def test_a_share_is_rounded_once() -> None:
    assert figure(percent(0.90646)) == "90.6"  # and not 90.65, and then 90.7
    assert figure(percent(0.6075)) == figure(percent(sum([0.6075 / 3] * 3))) == "60.8"


def test_missing_figures_are_dashes() -> None:
    nothing = float("nan")
    assert (figure(nothing), signed(nothing), between(nothing, 1.0, signed)) == ("–", "–", "–")


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-1e-4, 1e-4, "0.0 to 0.0"),  # two arms that are the same
        (1e-4, 1e-4, "> 0 to > 0"),  # one that is better by next to nothing
        (-1e-4, 2.0, "< 0 to +2.0"),
        (-0.0, 0.0, "0.0 to 0.0"),
    ],
)
def test_an_interval_about_0_is_written_as_0_and_one_beside_it_keeps_its_side(
    low: float, high: float, words: str
) -> None:
    assert between(low, high, signed) == words


LATEX_ROW = re.compile(r"(?<!\\)&")


def test_latex_escapes_its_own_signs() -> None:
    latex = as_latex(made_table(["dog_#1", "50 % \\ {a}"], caption="≥ 1 & < 2 – [x] ~ ^ $"))
    assert r"dog\_\#1 & $-$1.5 \\" in latex
    assert r"50 \% \textbackslash{} \{a\} & 1,234.5 \\" in latex
    assert r"\shortstack[l]{class\_name} & \shortstack[r]{points,\\\%} \\" in latex
    assert r"\caption{A \#1 title}" in latex
    assert r"$\geq$ 1 \& \textless{} 2 -- {[}x] \textasciitilde{} \textasciicircum{} \$" in latex


def test_a_latex_table_has_booktabs_rules_and_as_many_cells_in_each_row_as_columns() -> None:
    latex = as_latex(made_table(["dog", "cat"]))
    assert r"\begin{tabular}{lr}" in latex
    rules = [line for line in latex.splitlines() if line in (r"\toprule", r"\midrule", r"\bottomrule")]
    assert rules == [r"\toprule", r"\midrule", r"\midrule", r"\bottomrule"]  # the second row is a baseline
    rows = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 3
    assert all(len(LATEX_ROW.findall(row)) == 1 for row in rows)


def test_long_headings_and_sentences_are_broken_into_lines_in_latex() -> None:
    frame = pd.DataFrame({"verdict": ["no difference seen (could have seen ≥ 1.9 points)"]}, index=pd.Index(["mixup"]))
    latex = as_latex(
        Table("made", "title", "", frame, [Column(text("verdict"), "simultaneous 95 % interval", words=True)])
    )
    assert r"\shortstack[l]{simultaneous\\95 \%\\interval} \\" in latex
    assert r"\begin{tabular}{p{11em}}" in latex


def test_braces_and_environments_of_latex_are_balanced() -> None:
    latex = as_latex(made_table(["{dog", "cat}"]))
    bare = re.sub(r"\\[{}\\]", "", latex)
    assert bare.count("{") == bare.count("}")
    for name in ("table", "tabular"):
        assert latex.count(rf"\begin{{{name}}}") == latex.count(rf"\end{{{name}}}") == 1


def test_a_bar_does_not_part_a_cell_in_markdown() -> None:
    lines = as_markdown(made_table(["cat|dog"])).splitlines()
    assert any(line.startswith(r"| cat\|dog") for line in lines)


def test_a_caption_that_follows_elsewhere_can_be_left_out_of_markdown() -> None:
    assert "what it is" in as_markdown(made_table(["dog"]))
    assert "what it is" not in as_markdown(made_table(["dog"]), with_caption=False)


def test_every_row_of_a_csv_has_its_source() -> None:
    lines = as_csv(made_table(["dog", "cat"])).splitlines()
    assert lines == ["class,points,data", "dog,-1.5,50 % & more", "cat,1234.5,50 % & more"]
