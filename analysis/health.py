"""Health checks of a sweep: what makes its conclusions weaker than they look, a sentence each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from scipy.stats import kendalltau

from analysis.load import Results
from analysis.outcome import Outcome

EDGE = 0.05  # share of a range within which a value is at its edge (google-research/tuning_playbook)
FEWEST = 2  # finished trials, without which an arm's best was chosen from nothing
UNEQUAL = 1.5  # times as many epochs as the arm with the fewest
GAP = 0.2  # between training and validation accuracy
AGREEMENT = 0.5  # Kendall's tau below which the search says little about the test


def health_checks(results: Results, outcome: Outcome | None) -> list[str]:
    """Return what the checks found, a sentence each; nothing where all is well."""
    checks = [at_edges, too_few_finished, unequal_budgets, lost_trials, gaps]
    found = [sentence for check in checks for sentence in check(results)]
    of_confirmed = [diverged_runs, rank_disagreement] if outcome else []
    return [*found, *(sentence for check in of_confirmed for sentence in check(outcome))]


def at_edges(results: Results) -> Iterator[str]:
    sampled = {event["trial"]: event["sampled"] for event in results.events if event["event"] == "deal"}
    arms = {arm["name"]: arm for arm in results.manifest["arms"]}
    for name, trial in results.best["trial"].items():
        values = arms[name]["fixed"] | sampled[trial]
        for knob, space in arms[name]["space"].items():
            edge = edge_of(values[knob], space)
            if edge:
                yield (
                    f"{name}: the best {knob}, {values[knob]:.3g}, is at the {edge} edge of its range "
                    f"{space['low']:g} to {space['high']:g}; nothing beyond it was tried."
                )


def edge_of(value: float, space: dict[str, Any]) -> str:
    """Return the edge, lower or upper, of a range that a value is at; nothing where it is inside."""
    if value <= space["low"]:
        return "lower"  # of 0 there is no logarithm
    scale = math.log if space["log"] else float
    low, high = scale(space["low"]), scale(space["high"])
    place = (scale(value) - low) / (high - low)
    return "lower" if place <= EDGE else "upper" if place >= 1 - EDGE else ""


def too_few_finished(results: Results) -> Iterator[str]:
    trials = results.trials
    dealt = {arm["name"]: int((trials["arm"] == arm["name"]).sum()) for arm in results.manifest["arms"]}
    full = trials[trials["reason"] == "finished"]["arm"].value_counts()
    few = [f"{arm} ({full.get(arm, 0)} of {count})" for arm, count in dealt.items() if full.get(arm, 0) < FEWEST]
    if few and len(trials):
        where = "in every arm" if len(few) == len(dealt) else ", ".join(few)
        yield f"Fewer than {FEWEST} trials ran in full: {where}; nothing was chosen among full runs."


def unequal_budgets(results: Results) -> Iterator[str]:
    if results.lost:
        return  # what the log has lost of an arm was in its budget
    arms = [arm["name"] for arm in results.manifest["arms"]]
    dealt = results.trials["arm"].value_counts().reindex(arms, fill_value=0)
    if dealt.nunique() > 1:
        yield f"Unequal budgets: {dealt.max()} trials for {dealt.idxmax()}, {dealt.min()} for {dealt.idxmin()}."
    epochs = results.trials.groupby("arm")["epochs"].sum().reindex(arms, fill_value=0)
    if epochs.max() > UNEQUAL * epochs.min():
        ends = results.trials.loc[results.trials["arm"] == epochs.idxmin(), "reason"]
        why = "early stopping spent them where it saw promise"
        if results.unended:
            why = "some trials have not ended"
        elif ends.isin(["error", "diverged"]).any():
            why = f"trials of {epochs.idxmin()} failed or diverged"
        yield (
            f"Unequal budgets: {epochs.max():,} epochs for {epochs.idxmax()}, {epochs.min():,} for {epochs.idxmin()}; "
            f"{why}."
        )


def lost_trials(results: Results) -> Iterator[str]:
    for reason, words in (("diverged", "Diverged"), ("error", "Failed")):
        arms = results.trials.loc[results.trials["reason"] == reason, "arm"].value_counts(sort=False)
        if len(arms):
            lost = ", ".join(f"{arm} ({count})" for arm, count in arms.items())
            yield f"{words} trials: {lost}; these arms chose among fewer."


def gaps(results: Results) -> Iterator[str]:
    best = results.best
    gap = (best["train_acc"] - best["score"]).astype(float)
    wide = gap[gap > GAP]
    if len(wide):
        most = best.loc[wide.idxmax()]
        yield (
            f"Training accuracy is more than {100 * GAP:.0f} points above validation in {len(wide)} of {len(best)} "
            f"arms, most in {wide.idxmax()} ({100 * most['train_acc']:.1f} against {100 * most['score']:.1f} %): they "
            "overfit."
        )


def diverged_runs(outcome: Outcome) -> Iterator[str]:
    lost = [f"{arm} ({found.runs} of {found.of})" for arm, found in outcome.confirmed.diverged().items()]
    if lost:
        yield (
            f"Diverged confirmed runs: {', '.join(lost)}; what they could not predict counts as wrong, so that these "
            "arms are judged by how often their training fails, too."
        )


def rank_disagreement(outcome: Outcome) -> Iterator[str]:
    """Compare the order of the arms in the search with that in the test; two arms have no order worth the word."""
    frozen = {entry["arm"]: entry["val_acc"] for entry in outcome.confirmed.manifest["frozen"] if entry["rank"] == 1}
    arms = [arm for arm in frozen if arm in outcome.accuracy]
    if len(arms) < 3:
        return
    tau = kendalltau([frozen[arm] for arm in arms], [outcome.accuracy[arm][0] for arm in arms]).statistic
    if not tau >= AGREEMENT:  # nor is it where all are equal: tau is not a number then
        yield (
            f"Validation and test rank the {len(arms)} arms differently: Kendall's tau is {tau:.2f}, where 1 is the "
            "same order; the search's best values say little."
        )
