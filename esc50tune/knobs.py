"""How a knob of a trial is declared: default, valid range, searched range, unit and source, in one place."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from pydantic import Field


class Search(NamedTuple):
    """The range a sweep samples a knob from, evenly or evenly on a log scale."""

    low: float
    high: float
    log: bool = False


def knob(
    default: Any,
    meaning: str,
    *,
    source: str,
    unit: str = "",
    search: Search | None = None,
    choices: Collection[Any] = (),
    **bounds: Any,
) -> Any:
    """Declare one knob.

    Args:
        default: value when nothing else is said.
        meaning: what it does, in a few words.
        source: the paper or code that the default and the searched range come from.
        unit: unit of the value, empty for pure numbers.
        search: the range a sweep samples it from; None when it is never sampled.
        choices: the values it may have, where they are few.
        bounds: pydantic bounds (`ge`, `gt`, `le`, `lt`) outside which a value is refused.
    """
    extra = {"unit": unit, "source": source, "search": search, "choices": list(choices)}
    return Field(default, description=meaning, json_schema_extra=extra, **bounds)


def shown(value: Any) -> str:
    """Return a knob's value as it is typed after `--set KEY=`."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
