"""Where the confirmed runs come from, if that is not where their sweep does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from analysis.load import Results


def discrepancies(results: Results) -> Iterator[str]:
    """Say in which respect the confirmed runs are no second phase of this very sweep."""
    if results.confirmed is None:
        return
    sweep, confirm = results.manifest, results.confirmed.manifest
    if sweep["data"].get("fingerprint") != confirm["data"].get("fingerprint"):
        yield "OTHER DATA: the confirmed runs had other clips than the sweep that chose their configurations."
    if sweep.get("commit") != confirm.get("commit"):
        commits = f"{commit_words(confirm)}, the sweep on {commit_words(sweep)}"
        yield f"OTHER CODE: the confirmed runs ran on {commits}."


def commit_words(manifest: dict[str, Any]) -> str:
    if not manifest.get("commit"):
        return "code of no known commit"
    return f"commit {manifest['commit'][:10]}" + " with uncommitted changes" * bool(manifest.get("dirty"))
