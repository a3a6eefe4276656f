"""Reads a results folder: its manifest, its events and its confirmed runs. `docs/results-folder.md` describes both."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.confirmed import Confirmed
from analysis.errors import ResultsError
from analysis.files import damaged, is_cut, is_file, read_manifest, read_sound_events
from analysis.load_confirmed import load_confirmed
from analysis.shapes import LARGE, MANIFEST, ROWS, SEARCH, number


@dataclass(frozen=True)
class Results:
    """A sweep's manifest and the events of its log, in order, and what was confirmed of it.

    Attributes:
        lost: what is lost of the search's log, in a sentence; nothing where that is whole.
        left_out: what else of the files could not be used, a sentence each.
    """

    manifest: dict[str, Any]
    events: list[dict[str, Any]]
    confirmed: Confirmed | None = None
    lost: str = ""
    left_out: list[str] = field(default_factory=list)

    @property
    def stand_in(self) -> bool:
        """Whether any figures are of procedural sounds."""
        confirmed = self.confirmed is not None and self.confirmed.manifest["data"]["stand_in"]
        return self.manifest["data"]["stand_in"] or confirmed

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row a trial: what it was, how far it came, and its score if it ran its full schedule.

        Columns: trial, arm, default (it is the arm's first trial, its default setting), reason, epochs, seconds,
        train_acc, val_acc and val_loss of its last epoch, and score: `val_acc` if it finished, else missing.
        """
        rows: dict[int, dict[str, Any]] = {}
        for event in self.events:
            if event["event"] == "deal":
                first = all(row["arm"] != event["arm"] for row in rows.values()) and not event["sampled"]
                empty = {"reason": "unfinished", "epochs": 0, "seconds": 0.0}
                rows[event["trial"]] = {"arm": event["arm"], "default": first} | empty
            elif event["event"] == "epoch":
                row = rows[event["trial"]]
                row |= {name: event[name] for name in ("train_acc", "val_acc", "val_loss")}
                row |= {"epochs": event["epoch"], "seconds": row["seconds"] + event["seconds"]}
            elif event["event"] == "end":
                rows[event["trial"]]["reason"] = event["reason"]
        columns = ["arm", "default", "reason", "epochs", "seconds", "train_acc", "val_acc", "val_loss"]
        frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("trial").reset_index()
        frame["score"] = frame["val_acc"].astype(float).where(frame["reason"] == "finished")
        return frame

    @property
    def unended(self) -> int:
        """How many of the trials that the sweep is of have not ended, as far as its log tells."""
        return self.manifest["trials"] - int((self.trials["reason"] != "unfinished").sum())

    @cached_property
    def best(self) -> pd.DataFrame:
        """The trial with the highest score of each arm that has one, by arm; a tie goes to the lower loss."""
        ranked = self.trials.dropna(subset=["score"]).sort_values(["score", "val_loss"], ascending=[False, True])
        best = ranked.groupby("arm").head(1).set_index("arm")
        return best.loc[[arm["name"] for arm in self.manifest["arms"] if arm["name"] in best.index]]


def load_results(folder: Path) -> Results:
    """Read the manifest and the events of `folder`, and its confirmed runs where there are any.

    Raises:
        ResultsError: it is no results folder, or one of a newer format, or damaged.
    """
    path = folder / "manifest.json"
    if not is_file(path):
        raise ResultsError(
            f"'{folder}' is no results folder: there is no manifest.json in it; name that of a sweep, results/NAME"
        )
    manifest = read_manifest(path, MANIFEST)
    arms = {arm["name"]: arm for arm in manifest["arms"]}
    if fault := misfit_arms(manifest, arms):
        raise damaged(path, fault)
    log, left_out, confirmed = folder / "events.jsonl", [], None
    events, lost = read_search(log)
    foreign = {event["trial"]: event["arm"] for event in deals(events) if event["arm"] not in arms}
    if foreign:
        left_out.append(f"Trials of no arm of the manifest are left out: {', '.join(sorted({*foreign.values()}))}.")
        events = [event for event in events if event["trial"] not in foreign]
    for deal in deals(events):
        complete(deal, arms[deal["arm"]], log)
    if is_cut(log):
        left_out.append(f"The last line of '{log.name}' was cut, and is left out.")
    try:
        confirmed = load_confirmed(folder, arms)
    except ResultsError as error:
        left_out.append(f"ALL CONFIRMED RUNS ARE LEFT OUT: {error}.")
    if confirmed and confirmed.unchecked:
        which = ", ".join(confirmed.unchecked)
        lost += f"; the confirmed runs of {which} count, though the trials that they were frozen from are not known"
    return Results(manifest, events, confirmed, f"{lost}." if lost else "", left_out)


def read_search(log: Path) -> tuple[list[dict[str, Any]], str]:
    """Return the events of a search, without damaged ones, and what is lost, in words; nothing where all is well.

    Trials that lost some events count as unfinished, and have no score: all arms that this may concern are named.
    """
    events, damages = read_sound_events(log, SEARCH)
    if not damages:
        return events, "" if events else f"'{log.name}' is missing or empty: nothing is known of the search's trials"
    ends = {event["trial"]: event for event in events if event["event"] == "end"}
    epochs = Counter(event["trial"] for event in events if event["event"] == "epoch")
    arms = {event["trial"]: event["arm"] for event in deals(events)}
    whole = {trial for trial, end in ends.items() if end.get("epochs", epochs[trial]) == epochs[trial]}
    named = {line.arm for line in damages if line.arm} | {arm for trial, arm in arms.items() if trial not in whole}
    lines = "that line is" if len(damages) == 1 else f"{len(damages)} such lines are"
    lost = (
        f"'{log.name}', {damages[0]}; {lines} left out, and trials of {', '.join(sorted(named)) or 'no arm'} that lost "
        "some count as unfinished"
    )
    return [event for event in events if event["event"] != "end" or event["trial"] in whole], lost


def misfit_arms(manifest: dict[str, Any], arms: dict[str, dict[str, Any]]) -> str:
    """Return what is wrong between a manifest's arms, in words; nothing where all is well."""
    if not arms:
        return "it has no arms"
    if len(arms) < len(manifest["arms"]):
        return "two of its arms have one name"
    if max(len(arms), sum(len(arm["space"]) for arm in arms.values())) > ROWS:
        return f"it has more than {ROWS} arms, or ranges of their knobs"
    for arm in arms.values():
        against = arms.get(arm["against"])
        # The reference alone is compared with an arm while others are compared with it.
        if against and against["against"] in arms and against["name"] != manifest["reference"]:
            return f"its arm '{arm['name']}' is against '{against['name']}', which is against another"
        if arm["against"] == arm["name"]:
            return f"its arm '{arm['name']}' is against itself"
    return ""


def deals(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == "deal"]


def complete(deal: dict[str, Any], arm: dict[str, Any], log: Path) -> None:
    """See to it that the configuration of a trial has all knobs of its arm.

    Raises:
        ResultsError: a knob that the search varies has a value that it cannot have.
    """
    values = arm["fixed"] | deal["sampled"]
    deal["config"] = values | deal.get("config", {})
    if not (fits_spaces(values, arm) and fits_spaces(deal["config"], arm)):
        raise damaged(log, f"trial {deal['trial']} has a value that its arm cannot have")


def fits_spaces(values: dict[str, Any], arm: dict[str, Any]) -> bool:
    """Tell whether there is a value, on its scale, of every knob that the search varies."""
    return all(
        number(values.get(knob)) and (0 if space["log"] else -LARGE) < values[knob] < LARGE
        for knob, space in arm["space"].items()
    )
