"""What the search was worth: how each arm's trials ended, what more of them would bring, and what each arm cost."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.accuracy import expected_best
from analysis.caption import warnings
from analysis.confirmed import arm_of
from analysis.layout import mark, traits
from analysis.load import Results
from analysis.search_tables import source, summarise
from analysis.table import Column, Table, arm_name, number, text

SIZES = (1, 2, 3, 5, 8, 10, 20, 40)  # of searches, whose expected best is told


def effort_tables(results: Results) -> list[Table]:
    return [trials_table(results), *best_of_n_table(results), budget_table(results)]


def trials_table(results: Results) -> Table:
    """Return how each arm's trials ended, and at which epochs they were stopped."""
    stopped = results.trials[results.trials["reason"] == "stopped"].groupby("arm")["epochs"]
    at = {arm: ", ".join(f"{count} at {epoch}" for epoch, count in stops(epochs)) for arm, epochs in stopped}
    summary = summarise(results)
    frame = summary[["trials", "full", "stopped", "diverged", "failed", "best", "median", "encoder"]]
    frame = frame.assign(**{"stopped at": [at.get(arm, "–") for arm in frame.index]})
    columns = [
        Column(arm_name, "arm", words=True),
        *(Column(number(name), heading) for name, heading in (("trials", "trials"), ("full", "finished"))),
        Column(text("stopped at"), "stopped at epoch", words=True),
        *(Column(number(name), name) for name in ("diverged", "failed")),
        *(Column(number(name), f"{name}, %") for name in ("best", "median")),
    ]
    caption = (
        "Trials of the search by how they ended. Best and median are validation accuracies of the trials that ran "
        "their full schedule: search results, no test."
    )
    return effort_table(results, "search", "The search, by arm", caption, frame, columns)


def stops(epochs: pd.Series) -> Iterator[tuple[int, int]]:
    yield from epochs.value_counts().sort_index().items()


def best_of_n_table(results: Results) -> Iterator[Table]:
    """Yield the expected best of n trials of each arm, up to as many as it has full ones; nothing where no arm has
    two, for there is no best of one."""
    scores = {arm: trials["score"].dropna() for arm, trials in results.trials.groupby("arm", sort=False)}
    scores = {arm: values for arm, values in scores.items() if len(values)}
    most = max(map(len, scores.values()), default=0)
    if most < 2:
        return
    sizes = [n for n in SIZES if n <= most]
    rows = {
        arm: {"full": len(values)}
        | {f"n = {n}": round(100 * expected_best(values, n), 2) if n <= len(values) else float("nan") for n in sizes}
        for arm, values in scores.items()
    }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")
    frame["encoder"] = summarise(results)["encoder"]
    columns = [
        Column(arm_name, "arm", words=True),
        Column(number("full"), "full runs"),
        *(Column(number(f"n = {n}"), f"n = {n}") for n in sizes),
    ]
    title = "Expected best validation accuracy in % of n trials"
    yield effort_table(results, "best-of-n", title, " ".join(assumptions(results)), frame, columns)


def assumptions(results: Results) -> Iterator[str]:
    yield (
        "What a search of n trials would be expected to nominate with (unbiased estimator of Tang et al. 2020), from "
        "the trials that ran their full schedule. It assumes that their points are random and independent."
    )
    if results.manifest.get("search") == "tpe":
        yield "THEY ARE NOT: this search (tpe) chose its points from earlier ones."
    elif results.manifest.get("search") == "sobol":
        yield "This search's points are spread more evenly than random ones, and an arm's first is its default setting."
    if (results.trials["reason"] == "stopped").any():
        yield "Weak trials were stopped early and are missing here, so that the values for small n are too high."


def budget_table(results: Results) -> Table:
    """Return what each arm was given, by the search and by the confirmed runs of all its configurations."""
    frame = summarise(results)[["trials", "epochs", "seconds", "encoder"]]
    columns = [
        Column(arm_name, "arm", words=True),
        *(Column(number(name, digits=0), name) for name in ("trials", "epochs", "seconds")),
    ]
    if results.confirmed is not None:
        costs = results.confirmed.costs()[["runs", "epochs", "seconds"]].groupby(arm_of).sum()
        confirmed = costs.reindex(frame.index, fill_value=0).round({"seconds": 1}).add_prefix("confirmed ")
        frame = frame.join(confirmed)
        columns += [Column(number(name, digits=0), name) for name in confirmed]
    differ = "; early stopping, or trials that were lost, make epochs differ" * (frame["epochs"].nunique() > 1)
    caption = (
        f"What each arm was given. Trials are dealt equally{differ}. A step of one model or method takes longer than "
        "one of another."
    )
    return effort_table(results, "budget", "Budget: what each arm was given", caption, frame, columns)


def effort_table(
    results: Results, name: str, title: str, caption: str, frame: pd.DataFrame, columns: list[Column]
) -> Table:
    encoders = [traits(arm["fixed"])["encoder"] for arm in results.manifest["arms"]]
    caption = " ".join(filter(None, [*warnings(results), caption, results.lost]))
    return Table(name, title + mark(results.stand_in, encoders), caption, frame, columns, [], source(results))
