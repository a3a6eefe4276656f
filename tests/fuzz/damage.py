"""How the fuzz tests spoil sound input, and how much of it they try.

The suite tries a few inputs of each kind, the same ones each time. 10,000 in all, in a quarter of an hour, are
tried by `ESC50TUNE_FUZZ=10000 python -m pytest tests/fuzz --timeout 0`.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from analysis.errors import ResultsError
from esc50tune.errors import UserError

IN_ALL = int(os.environ.get("ESC50TUNE_FUZZ", "0"))


def inputs(few: int, percent: float) -> Callable:
    """Return the settings of a test that tries `few` inputs in the suite, and `percent` of all that are asked for."""
    most = max(few, round(IN_ALL * percent / 100))
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return settings(max_examples=most, suppress_health_check=slow)


@contextmanager
def accepted_or_refused(refusals: tuple[type[Exception], ...] = (UserError, ResultsError)) -> Iterator[None]:
    """Let what is inside succeed, or be refused in one line of printable characters; nothing else."""
    try:
        yield
    except refusals as error:
        assert str(error), type(error)
        assert str(error).isprintable(), repr(str(error))


# what stands in files and on command lines where something else should
TEXTS = st.one_of(
    st.sampled_from(
        ["", " ", "0", "-1", "nan", "inf", "1e999", "../../x", "/etc/passwd", "~stranger/x", "a\nb", "a\0b"]
    ),
    st.sampled_from(
        ["x" * 300, "9" * 5000, "\x1b]0;x\x07", "\ud800", "\u2028", "{}", "$x$", "%s %(x)d", "\N{PILE OF POO}"]
    ),
    st.text(max_size=12),
)
NUMBERS = st.one_of(
    st.sampled_from([0, -1, 1, 2, 5, 2**31, 2**63, 10**12, 10**400, 0.0, -0.5, 0.5, 1e-320, 1e308]),
    st.sampled_from([float("nan"), float("inf"), -float("inf")]),
    st.integers(-(2**70), 2**70),
    st.floats(),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=4,
)


@st.composite
def damaged_bytes(draw: st.DrawFn, whole: bytes, end: int | None = None) -> bytes:
    """Return the bytes of a file with up to three changes, all of them before `end`."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, min(end or len(content), len(content))))
        how = draw(st.sampled_from(["replace", "insert", "cut", "drop", "bit"]))
        some = draw(
            st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\0", b"\xff" * 4, b"\x7f\xff\xff\xff"]))
        )
        if how == "replace":
            content[place : place + len(some)] = some
        elif how == "insert":
            content[place:place] = some
        elif how == "cut":
            del content[place:]
        elif how == "drop":
            del content[place : place + len(some)]
        elif place < len(content):
            content[place] ^= 1 << draw(st.integers(0, 7))
    return bytes(content)


@st.composite
def altered(draw: st.DrawFn, document: Any) -> Any:
    """Return what was read from JSON with up to three values replaced, removed, doubled, or made like others of it."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):  # one that is refused hides the others
        if not document:
            break
        above, key = place_in(draw, document)
        how = draw(st.sampled_from(["odd", "alike", "other", "gone", "twice"]))
        if how == "odd":
            above[key] = draw(VALUES)
        elif how == "alike":
            above[key] = draw(TEXTS if isinstance(above[key], str) else NUMBERS)
        elif how == "other":
            where, which = place_in(draw, document)
            above[key] = copy.deepcopy(where[which])
        elif how == "gone":
            del above[key]
        elif isinstance(above, list):
            above.insert(key, copy.deepcopy(above[key]))
        else:
            above[draw(TEXTS)] = above[key]
    return document


def place_in(draw: st.DrawFn, document: dict | list) -> tuple[dict | list, Any]:
    """Draw a place in a document that has some: the object or list that it is in, and its key there."""
    value, deeper = document, True
    while deeper and isinstance(value, dict | list) and value:
        above, key = value, draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
        value, deeper = above[key], draw(st.sampled_from([True, True, True, True, False]))
    return above, key


@st.composite
def shuffled(draw: st.DrawFn, lines: list[Any]) -> list[Any]:
    """Return lines of which up to three were lost, doubled, or moved."""
    lines = list(lines)
    for _ in range(draw(st.integers(1, 3))):
        if not lines:
            break
        line = lines.pop(draw(st.integers(0, len(lines) - 1)))
        for _ in range(draw(st.integers(0, 2))):
            lines.insert(draw(st.integers(0, len(lines))), line)
    return lines
