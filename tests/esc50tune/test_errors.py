"""What is said of bad input is one line, whatever the input is."""

from __future__ import annotations

import pickle

import pytest

from analysis.errors import ResultsError
from esc50tune.errors import UserError

ERRORS = (UserError, ResultsError)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("no folder 'a b', größer ≥ 1", "no folder 'a b', größer ≥ 1"),
        ("a\nb\r\nc\td", r"a\nb\r\nc\td"),
        ("\x1b]0;x\x07 \0", r"\x1b]0;x\x07 \x00"),
        ("\u2028\u202e\ud800\N{NO-BREAK SPACE}", r"\u2028\u202e\ud800\xa0"),
    ],
)
def test_what_breaks_a_line_or_is_not_seen_is_escaped(error: type[Exception], told: str, shown: str) -> None:
    assert str(error(told)) == shown
    assert shown.isprintable()


@pytest.mark.parametrize("error", ERRORS)
def test_a_message_stays_as_it_is_on_its_way_between_processes(error: type[Exception]) -> None:
    sent = error("line\nbreak")
    received = pickle.loads(pickle.dumps(sent))
    assert (type(received), str(received)) == (error, str(sent))
