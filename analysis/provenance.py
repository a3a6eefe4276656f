"""Where the confirmed runs come from, if that is not where their sweep does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from analysis.load import Results


def discrepancies(results: Results) -> Iterator[str]:
    """Say where the confirmed runs ran on other code than the sweep. They share theirs, so that they count."""
    if results.confirmed is None:
        return
    sweep, confirm = results.manifest, results.confirmed.manifest
    if other_code(sweep, confirm):
        own, sweeps = commit_words(confirm), commit_words(sweep)
        commits = f"{own}, the sweep on {sweeps}" if own != sweeps else f"{own}, and on other changes than the sweep"
        yield f"OTHER CODE: the confirmed runs ran on {commits}; none is left out, as all share it."


def other_code(sweep: dict[str, Any], confirm: dict[str, Any]) -> bool:
    """Tell whether two phases ran on different code: by its hash, and by its commit where there is none."""
    key = "code" if sweep.get("code") and confirm.get("code") else "commit"
    return sweep.get(key) != confirm.get(key)


def commit_words(manifest: dict[str, Any]) -> str:
    if not manifest.get("commit"):
        return "code of no known commit"
    return f"commit {manifest['commit'][:10]}" + " with uncommitted changes" * bool(manifest.get("dirty"))
