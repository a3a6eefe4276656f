"""What a reader must know before any figure: what these figures are not of, and what is missing from them."""

from __future__ import annotations

from analysis.caption import divergences, shortcomings, warnings
from analysis.load import Results
from analysis.provenance import discrepancies


def alerts(results: Results) -> list[str]:
    """Return a paragraph for each, the gravest first; what is left out of an arm is one."""
    left_out = [*results.left_out, *(results.confirmed.left_out if results.confirmed else ())]
    missing = [*shortcomings(results), *divergences(results)]
    return [*warnings(results), *discrepancies(results), *missing, *left_out]
