"""What a sweep is: its data, folds, budget, code and machine, a line each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from analysis.caption import counted, folds_words, listed
from analysis.confirmed import Confirmed
from analysis.load import Results
from analysis.provenance import commit_words


def facts(results: Results) -> Iterator[tuple[str, str]]:
    """Yield what each line is about, and the line."""
    manifest = results.manifest
    yield "Data", data_words(manifest["data"])
    yield "Search", search_words(results)
    if results.confirmed is not None:
        yield "Confirmed runs", confirmed_words(results.confirmed)
    yield "Arms", listed(arm["name"] for arm in manifest["arms"])
    yield "Preset", f"{manifest['preset']['name']}: {manifest['preset']['says']}"
    phases = [("", manifest)]
    if results.confirmed is not None:
        phases = [("search: ", manifest), ("; confirmed runs: ", results.confirmed.manifest)]
    for term, words in (("Code", commit_words), ("Machine", machine_words), ("Started", start_words)):
        yield term, said_once([(phase, words(facts)) for phase, facts in phases])


def said_once(phases: list[tuple[str, str]]) -> str:
    """Join what is said of each phase; what is the same of all is said once."""
    words = [words for _, words in phases]
    return words[0] if len(set(words)) == 1 else "".join(phase + words for phase, words in phases)


def data_words(data: dict[str, Any]) -> str:
    rates = listed(f"{int(rate):,}" for rate in data["rates"])
    fingerprint = f"; fingerprint {data['fingerprint'][:10]}" if "fingerprint" in data else ""
    return f"{data['title']}, recorded at {rates} Hz{fingerprint}"


def search_words(results: Results) -> str:
    manifest, split, trials = results.manifest, results.manifest["split"], results.trials
    test = f"fold {split['test']} never opened" if split["test"] is not None else "NO TEST FOLD"
    how = f", points by {manifest['search']}" if "search" in manifest else ""
    scheduler = manifest["scheduler"]["name"]
    stopping = "no early stopping" if scheduler == "none" else f"early stopping by {scheduler}"
    folds = f"trained on {folds_words(split['train'])}, selected on {split['val']}, {test}"
    cost = f"{trials['epochs'].sum():,} epochs, {duration(trials['seconds'].sum())}"
    cost += ", as far as its log tells" * bool(results.lost)
    asked = f"{counted(manifest['trials'], 'trial')} of {counted(len(manifest['arms']), 'arm')}"
    return f"{asked}{how}, {stopping}; {folds}; {cost}"


def confirmed_words(confirmed: Confirmed) -> str:
    costs, block = confirmed.costs(), confirmed.block
    asked = len(costs) * len(confirmed.manifest["folds"]) * confirmed.manifest["seeds"]
    runs = f"{costs['runs'].sum()} of {asked} runs"
    cost = f"{costs['epochs'].sum():,} epochs, {duration(costs['seconds'].sum())}"
    if not block.folds:
        return f"{runs}; {cost}; none is compared yet"
    return f"{runs}; compared on {folds_words(block.folds)} with {counted(block.seeds, 'seed')}; {cost}"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s of training"
    return f"{seconds / 60:.0f} min of training" if seconds < 7200 else f"{seconds / 3600:.1f} h of training"


def machine_words(manifest: dict[str, Any]) -> str:
    machine = manifest.get("machine")
    if not machine:
        return "not known"
    return ", ".join([*machine["gpus"], machine["processor"], machine["system"]])


def start_words(manifest: dict[str, Any]) -> str:
    return manifest.get("created", "not known").replace("T", " ").replace("+00:00", " UTC")
