"""The list of knobs in the documentation says what the configuration says."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from esc50tune.config import TrialConfig, parse_setting
from esc50tune.errors import UserError
from esc50tune.knob_table import END, START, knob_table, with_table

PAGE = Path(__file__).parents[2] / "docs" / "knobs.md"
SCHEMA = TrialConfig.model_json_schema()["properties"]
# What a knob at its ends needs of others.
NEEDS = {
    "code_lm": {"model": "causal", "feature": "encodec", "sample_rate": 24_000},
    "convnext_stem_kernel": {"convnext_stem_stride": 1},
    "convnext_stem_stride": {"convnext_stem_kernel": 4096},
    "crop_seconds": {"clip_seconds": 60},
    "feature": {"sample_rate": 24_000},
}


def page_rows() -> dict[str, dict[str, str]]:
    """Read the table as its reader does: the cells of each knob by the names of their columns."""
    table = PAGE.read_text().partition(START)[2].partition(END)[0]
    lines = [line for line in table.splitlines() if line.startswith(("| knob", "| `"))]
    names, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {row[0].strip("`"): dict(zip(names, row, strict=True)) for row in rows}


ROWS = page_rows()


def with_knob(knob: str, value: Any) -> Any:
    return getattr(TrialConfig.from_flat(NEEDS.get(knob, {}) | {knob: value}), knob)


def step(value: float, towards: float) -> float:
    return value + int(math.copysign(1, towards)) if isinstance(value, int) else math.nextafter(value, towards)


def ends(words: str, number: type) -> tuple[list[Any], list[Any]]:
    """Return the values at the ends of a range in words, and those just beyond."""
    inside: list[Any] = []
    beyond: list[Any] = []
    if " or " in words:
        inside = words.split(" or ")
        return inside, [inside[-1] + "0"]  # 240 after 24, and a word that is none
    for limit in filter(None, words.split(", ")):
        sign, value = limit.rsplit(" ", 1)
        if sign == "multiple of":
            beyond.append(inside[0] + 1)
            continue
        end, outward = number(value), {"≥": -math.inf, ">": -math.inf, "≤": math.inf, "<": math.inf}[sign]
        inside.append(end if sign in "≥≤" else step(end, -outward))
        beyond.append(end if sign in "><" else step(end, outward))
    return inside, beyond


def ends_of_row(knob: str) -> tuple[list[Any], list[Any]]:
    words, kind = ROWS[knob]["range"], type(getattr(TrialConfig(), knob))
    if kind is not tuple:
        return ends(words, kind)
    least, most, each = re.fullmatch(r"(\d+) to (\d+) numbers, each (.+)", words).groups()
    inside, beyond = ends(each, int)
    sizes = [[inside[0]] * size for size in (int(least) - 1, int(most) + 1)]
    return [[value] * int(size) for value in inside for size in (least, most)], [[value] for value in beyond] + sizes


def test_the_page_lists_every_knob_as_it_is() -> None:
    assert with_table(PAGE.read_text()) == PAGE.read_text(), "run: python -m esc50tune.knob_table docs/knobs.md"
    assert knob_table() in PAGE.read_text()


def test_every_knob_has_a_row_with_its_default_range_unit_and_source() -> None:
    rows = {line.split("`")[1]: line for line in knob_table().splitlines() if line.startswith("| `")}
    assert set(rows) == set(ROWS) == set(TrialConfig.model_fields)
    assert rows["gain_db"].startswith("| `gain_db` | 0 | ≥ 0, ≤ 40 | dB | 6 |  | largest gain")
    assert "| 0.001 | > 0, ≤ 1 |  |  | 0.0002 to 0.005, log |" in rows["lr"]
    assert "| published | seed or published |" in rows["convnext_form"]
    assert "ACDNet" in rows["dropout"]


@pytest.mark.parametrize("knob", ROWS)
def test_the_default_of_a_row_is_that_of_the_configuration(knob: str) -> None:
    _, value = parse_setting(f"{knob}={ROWS[knob]['default']}")
    assert with_knob(knob, value) == getattr(TrialConfig(), knob)


@pytest.mark.parametrize("knob", ROWS)
def test_the_ends_of_a_rows_range_are_accepted_and_what_lies_just_beyond_is_refused(knob: str) -> None:
    inside, beyond = ends_of_row(knob)
    for value in inside:
        with_knob(knob, value)
    for value in beyond:
        with pytest.raises(UserError, match=f"^{knob} = "):
            with_knob(knob, value)


@pytest.mark.parametrize("knob", ROWS)
def test_the_range_of_a_row_leaves_out_no_limit_and_no_choice(knob: str) -> None:
    words, schema = ROWS[knob]["range"], SCHEMA[knob] | SCHEMA[knob].get("items", {})
    limits = {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"} & set(schema)
    assert len(re.findall("[≥>≤<]|multiple of", words)) == len(limits)
    choices = schema.get("enum", schema["choices"])
    assert [with_knob(knob, choice) for choice in words.split(" or ") if choices] == choices


@pytest.mark.parametrize("knob", ROWS)
def test_the_searched_range_of_a_row_is_what_sweeps_sample_and_lies_within_its_range(knob: str) -> None:
    search, words = TrialConfig.model_fields[knob].json_schema_extra["search"], ROWS[knob]["searched"]
    assert bool(words) == bool(search)
    if search:
        low, high, log = re.fullmatch(r"(\S+) to ([^\s,]+)(, log)?", words).groups()
        assert (float(low), float(high), bool(log)) == search
        assert [with_knob(knob, float(end)) for end in (low, high)] == [search.low, search.high]
