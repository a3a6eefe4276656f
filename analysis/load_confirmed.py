"""Reads `confirm/` of a results folder, and leaves out what is unsound. `docs/results-folder.md` describes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.confirmed import Confirmed, label_of, labels
from analysis.errors import ResultsError
from analysis.files import damaged, is_cut, is_file, read_manifest, read_sound_events
from analysis.left_out import LeftOut
from analysis.load_runs import last_tries, leave_out_strays, read_runs, unseeded
from analysis.shapes import CONFIRM, CONFIRMED, LARGE, MANIFEST, ROWS, SEARCH, Shape

RUNS = 100_000  # a manifest that asks for more would keep the reader busy for hours
COLUMNS = ("filename", "fold", "target", "category", "source")


def load_confirmed(folder: Path, arms: Mapping[str, dict[str, Any]]) -> Confirmed | None:
    """Read `confirm/` of a results folder; None where the second phase has not begun.

    What is unsound of its runs is left out, and said in `left_out`.

    Args:
        folder: the results folder.
        arms: those of its sweep, by name.

    Raises:
        ResultsError: nothing of it can be used.
    """
    path = folder / "confirm" / "manifest.json"
    if not is_file(path):
        return None
    manifest, left_out = read_frozen(path), LeftOut()
    sweep = read_manifest(folder / "manifest.json", MANIFEST)
    refuse_other_data(sweep, manifest)
    clips = read_clips(path.with_name("clips.csv"), manifest)
    events = read_log(path.with_name("events.jsonl"), left_out)
    manifest |= searched_folds(sweep, manifest, left_out)
    leave_out_strays(path.parent, manifest, left_out)
    manifest["frozen"] = list(tried_by_the_sweep(folder / "events.jsonl", manifest["frozen"], arms, left_out))
    logits = dict(read_runs(path.parent, manifest, clips, last_tries(events), left_out))
    confirmed = Confirmed(manifest, events, clips, logits, unchecked=left_out.unchecked)
    return replace(confirmed, left_out=[*left_out.paragraphs(), *incomplete(confirmed)])


def refuse_other_data(sweep: dict[str, Any], manifest: dict[str, Any]) -> None:
    """Refuse runs on other clips than the sweep's: what they say is not of the arms that it chose on its own.

    Raises:
        ResultsError: the data of the two manifests are not the same.
    """
    own, sweeps = (facts["data"]["fingerprint"][:10] for facts in (manifest, sweep))
    if manifest["data"]["fingerprint"] != sweep["data"]["fingerprint"]:
        raise ResultsError(
            f"OTHER DATA: 'confirm/manifest.json' has the fingerprint {own}, the sweep's manifest {sweeps}; move the "
            "folder 'confirm' to its own sweep, or away, and run sweeps/confirm.py anew"
        )


def read_frozen(path: Path, shape: dict[str, Shape] = CONFIRM) -> dict[str, Any]:
    """Read the manifest of the second phase.

    Raises:
        ResultsError: it has a newer format, or is damaged.
    """
    manifest = read_manifest(path, shape)
    if fault := misfit_runs(manifest):
        raise damaged(path, fault)
    return manifest


def misfit_runs(manifest: dict[str, Any]) -> str:
    """Return what is wrong with the runs that a manifest asks for, in words; nothing where all is well."""
    arms, folds = labels(manifest), manifest["folds"]
    if len(arms) > len(set(arms)):
        return "two of its frozen configurations have one rank"
    if len(folds) > len(set(folds)):
        return "one of its folds is there twice"
    if len(arms) > ROWS or len(arms) * len(folds) * manifest["seeds"] > RUNS:
        return f"it has {len(arms)} frozen configurations, {len(folds)} folds and {manifest['seeds']} seeds"
    return ""


def read_clips(path: Path, manifest: dict[str, Any]) -> pd.DataFrame:
    try:
        clips = pd.read_csv(path, dtype={"source": str, "category": str}, keep_default_na=False)
    except FileNotFoundError:
        raise ResultsError(f"'{path}' is missing") from None
    except OSError as error:
        raise ResultsError(f"'{path}' cannot be read: {error.strerror}") from None
    except (ValueError, pd.errors.ParserError):  # no UTF-8, nothing in it, or lines of different lengths
        raise damaged(path, "it is no table") from None
    missing = [name for name in COLUMNS if name not in clips]
    if missing:
        raise damaged(path, f"it has no column {missing[0]}")
    if len(clips) != manifest["data"]["clips"]:
        raise damaged(path, f"it has {len(clips)} clips, the manifest {manifest['data']['clips']}")
    for column, end in (("fold", LARGE), ("target", len(manifest["data"]["classes"]))):
        if len(clips) and not (clips[column].dtype.kind in "iu" and clips[column].between(0, end - 1).all()):
            raise damaged(path, f"its column {column} has values that cannot be")
    return clips


def read_log(path: Path, left_out: LeftOut) -> list[dict[str, Any]]:
    """Read the events, without damaged ones. Costs are counted from all of them or not at all.

    Raises:
        ResultsError: there are predictions, and no event that tells what they are of.
    """
    events, damages = read_sound_events(path, CONFIRMED)
    if not events and any(path.parent.glob("predictions/[!.]*.npy")):  # a dot: a write that was cut
        raise ResultsError(
            f"'confirm/{path.name}' is missing or has no sound line, and it alone tells which runs finished, and with "
            "which configuration; bring it back, or move the folder 'confirm' away and run sweeps/confirm.py anew"
        )
    if is_cut(path):
        left_out.files.append(f"The last line of 'confirm/{path.name}' was cut, and is left out.")
    if not damages:
        return events
    what = "it is" if len(damages) == 1 else f"{len(damages)} such lines are"
    gone = f"{what} left out, and so are the costs of the confirmed runs"
    left_out.files.append(f"'confirm/{path.name}', {damages[0]}; {gone}.")
    return [event for event in events if event["event"] != "epoch"]


def searched_folds(sweep: dict[str, Any], manifest: dict[str, Any], left_out: LeftOut) -> dict[str, Any]:
    """Return the sweep's own word on the folds that it searched and the one that it kept: it alone can know."""
    split = sweep["split"]
    folds = {"test_fold": split["test"], "searched": sorted([*split["train"], split["val"]])}
    said = {"test_fold": manifest["test_fold"], "searched": sorted(manifest["searched"])}
    if folds != said:
        left_out.files.append(
            f"'confirm/manifest.json' says that {split_words(said)}; the sweep's manifest says that "
            f"{split_words(folds)}, and that is taken."
        )
    return folds


def split_words(folds: dict[str, Any]) -> str:
    kept = "no test fold" if folds["test_fold"] is None else f"fold {folds['test_fold']}"
    return f"the search used folds {', '.join(map(str, folds['searched'])) or 'none'} and kept {kept}"


def tried_by_the_sweep(
    log: Path, frozen: Sequence[dict[str, Any]], arms: Mapping[str, dict[str, Any]], left_out: LeftOut
) -> Iterator[dict[str, Any]]:
    """Yield the frozen configurations that trials of the sweep had, or may have had where its log has lost events: the
    confirmed runs are as sound without."""
    events, damages = read_sound_events(log, SEARCH)  # what is lost there is said of the search
    deals = {event["trial"]: event for event in events if event["event"] == "deal"}
    for entry in frozen:
        arm = label_of(entry)
        if entry["arm"] not in arms:
            left_out.of_arm(arm, f"{arm} is frozen and is no arm of this sweep: left out.")
        elif entry["trial"] not in deals and (damages or not deals):
            left_out.unchecked.append(arm)
            yield entry
        elif fault := never_tried(entry, arms[entry["arm"]], deals):
            left_out.of_arm(arm, f"{arm} is left out: {fault}.")
        else:
            yield entry


def never_tried(entry: dict[str, Any], arm: dict[str, Any], deals: Mapping[int, dict[str, Any]]) -> str:
    """Return why a frozen configuration of an arm is none that the sweep tried, in words; nothing where it is.

    Args:
        entry: that of the frozen configuration in the manifest.
        arm: of the sweep.
        deals: the sweep's, by their trials.
    """
    number = entry["trial"]
    deal = deals.get(number)
    if deal is None or deal["arm"] != entry["arm"]:
        return f"it was frozen from trial {number}, and the sweep's log has no such trial of this arm"
    if unseeded(entry["config"]) != unseeded(arm["fixed"] | deal["sampled"] | deal.get("config", {})):
        return f"its frozen configuration is not that of the sweep's trial {number}"
    return ""


def incomplete(confirmed: Confirmed) -> Iterator[str]:
    """Say which arms, folds and seeds are in no number because runs are missing."""
    block, manifest, arms = confirmed.block, confirmed.manifest, labels(confirmed.manifest)
    for entry in manifest["left_out"]:
        yield f"{entry['arm']} was not confirmed: {entry['why'].rstrip('.')}."
    asked = len(manifest["folds"]) * manifest["seeds"]
    missing = {arm: asked - sum(run[0] == arm for run in confirmed.logits) for arm in arms}
    if any(missing.values()):
        which = ", ".join(f"{arm} {count}" for arm, count in missing.items() if count)
        yield f"INCOMPLETE: missing {sum(missing.values())} of {asked * len(arms)} confirmed runs ({which})."
    lacking = [arm for arm in arms if arm not in block.arms]
    if lacking:
        yield f"Left out of every number, since most of their runs are missing: {', '.join(lacking)}."
    lost = [f"fold {fold}" for fold in manifest["folds"] if fold not in block.folds]
    lost += [f"seed {seed}" for seed in range(block.seeds, manifest["seeds"])]
    if block.arms and lost:
        yield f"Left out of every number, since not every compared arm has its runs: {', '.join(lost)}."
