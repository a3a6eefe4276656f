"""What a reader must know before any figure: what these figures are not of, and what is missing from them."""

from __future__ import annotations

from analysis.caption import shortcomings, warnings
from analysis.load import Results
from analysis.provenance import discrepancies


def alerts(results: Results) -> list[str]:
    """Return a sentence for each, the gravest first."""
    left_out = [*results.left_out, *(results.confirmed.left_out if results.confirmed else ())]
    return [*warnings(results), *discrepancies(results), *shortcomings(results), *left_out]
