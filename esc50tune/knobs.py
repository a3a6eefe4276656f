"""How a knob of a trial is declared: default, valid range, searched range, unit and source, in one place."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import Field


class Search(NamedTuple):
    """The range a sweep samples a knob from, evenly or evenly on a log scale."""

    low: float
    high: float
    log: bool = False


def knob(default: Any, meaning: str, *, unit: str = "", source: str = "", search: Search | None = None, **bounds: Any):
    """Declare one knob.

    Args:
        default: value when nothing else is said.
        meaning: what it does, in a few words.
        unit: unit of the value, empty for pure numbers.
        source: the paper or code the default and range come from.
        search: the range a sweep samples it from; None when it is never sampled.
        bounds: pydantic bounds (`ge`, `gt`, `le`, `lt`) outside which a value is refused.
    """
    extra = {"unit": unit, "source": source, "search": search}
    return Field(default, description=meaning, json_schema_extra=extra, **bounds)
