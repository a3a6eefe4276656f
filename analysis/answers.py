"""The answer in words, a sentence for each arm, made from the numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from analysis.confirmed import arm_of
from analysis.layout import against_words, traits
from analysis.load import Results
from analysis.outcome import Outcome
from analysis.search_tables import summarise
from analysis.statistics import Comparison
from analysis.table import arm_name, between, percent, points, signed

SEEN = ("better", "worse")


class Sentence(NamedTuple):
    """What there is to say of an arm; `verdict` is that of its comparison, or nothing."""

    arm: str
    words: str
    verdict: str = ""

    def __str__(self) -> str:
        return f"{self.arm}: {self.words}"


@dataclass(frozen=True)
class Answer:
    """The sentences on arms that are compared with the same arm."""

    heading: str
    sentences: list[Sentence]


def answers(results: Results, outcome: Outcome | None) -> list[Answer]:
    """Return what was found of each arm, or without confirmed runs what is nominated."""
    names = starred(results.manifest)
    if outcome is None:
        return [Answer("What the sweep nominates:", nominations(results, names))]
    found = defaultdict(list)  # tables that compare with the same arm are told together
    for part in outcome.parts:
        for base, others in part.groups.items():
            against = against_words(results.manifest, base)
            heading = f"Against {against}, which gets {accuracy_words(outcome, base)}:"
            comparisons = outcome.comparisons[part.name]
            found[heading] += [compared_sentence(names(arm), comparisons[arm], against) for arm in others]
        if part.alone:
            alone = [Sentence(names(arm), f"{accuracy_words(outcome, arm)}.") for arm in part.alone]
            found["Compared with no other arm:"] += alone
    return [Answer(heading, sentences) for heading, sentences in found.items()]


def starred(manifest: dict[str, Any]) -> Callable[[str], str]:
    """Return what names an arm by its label, with a star where its encoder is untrained."""
    encoders = {arm["name"]: traits(arm["fixed"])["encoder"] for arm in manifest["arms"]}
    return lambda label: arm_name({"arm": label, "encoder": encoders[arm_of(label)]})


def accuracy_words(outcome: Outcome, arm: str) -> str:
    accuracy, low, high = map(percent, outcome.accuracy[arm])
    return f"{accuracy:.1f} % right (95 % interval {low:.1f} to {high:.1f})"


def compared_sentence(arm: str, found: Comparison, against: str) -> Sentence:
    """Say what was found of an arm; the words follow from the verdict and the numbers alone."""
    interval = f"95 % interval {between(points(found.low), points(found.high), signed)}"
    if found.verdict not in SEEN:
        seen = f"{interval}; could have seen ≥ {points(found.detectable):.1f}"
        which = seen if found.detectable < 1 else "could not have seen any"
        return Sentence(arm, f"{found.verdict} ({which}).", found.verdict)
    by = points(found.difference)
    how = f"{signed(by)} points over" if by > 0 else f"{signed(-by).removeprefix('+')} points below"
    return Sentence(arm, f"{how} {against} ({interval}): {found.verdict}.", found.verdict)


def verdict_words(found: Comparison) -> str:
    """Return the verdict as it stands in a table."""
    if found.verdict in SEEN:
        return found.verdict
    least = f"have seen ≥ {points(found.detectable):.1f} points"
    return f"{found.verdict} (could {least if found.detectable < 1 else 'not have seen any'})"


def headline(outcome: Outcome | None) -> str:
    """Say in one sentence what all comparisons amount to."""
    if outcome is None:
        return "Nothing here is confirmed: the sweep only nominates."
    verdicts = [found.verdict for part in outcome.comparisons.values() for found in part.values()]
    if not verdicts:
        return "No two confirmed arms are compared with each other."
    if len(verdicts) == 1:
        return f"One comparison: {verdicts[0]}."
    counts = Counter(verdicts)
    parts = [f"{counts[verdict]} {verdict}" for verdict in sorted(counts, key=lambda word: (word not in SEEN, word))]
    return f"Of {len(verdicts)} comparisons: {', '.join(parts)}."


def nominations(results: Results, names: Callable[[str], str]) -> list[Sentence]:
    fold = results.manifest["split"]["val"]
    return [Sentence(names(arm), nomination(row, fold)) for arm, row in summarise(results).iterrows()]


def nomination(row: pd.Series, fold: int) -> str:
    if pd.isna(row["best"]):
        return "nothing to nominate, since no trial is known to have run its full schedule."
    runs = "its one full run" if row["full"] == 1 else f"the best of its {row['full']} full runs"
    return f"{row['best']:.1f} % on the validation fold {fold}, {runs}; not tested."
