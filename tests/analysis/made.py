"""A results folder as a sweep and its second phase would leave it, from a small seeded generator; and what is shown."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from analysis.render import as_csv
from analysis.table import Table
from analysis.terminal import as_terminal

FIXED = {
    "model": "convnext",
    "feature": "logmel",
    "sample_rate": 8_000,
    "logmel_bands": 64,
    "encodec_weights": "pretrained",
    "clip_seconds": 0.25,
    "crop_seconds": 0.0,
    "crop_views": 10,
    "code_lm": 0.0,
    "epochs": 4,
    "lr": 1e-3,
    "mixup": 0.0,
    "shift": 0.0,
}
LR = {"low": 2e-4, "high": 5e-3, "log": True}
SHARE = {"low": 0.1, "high": 1.0, "log": False}
EPOCHS, TRIALS = 4, 3  # of a full schedule; of each arm


def made_arm(
    name: str, against: str | None, parameters: int = 2_000, space: dict | None = None, on: Sequence[str] = (), **knobs
) -> dict:
    return {
        "name": name,
        "against": against,
        "fixed": FIXED | knobs,
        "on": list(on),
        "space": {"lr": LR} | (space or {}),
        "parameters": parameters,
        "epochs": EPOCHS,
    }


ARMS = [
    made_arm("baseline", None, 1_000, model="hifigan"),
    made_arm("convnext", "baseline"),
    made_arm("mixup", "convnext", space={"mixup": SHARE}, mixup=0.4),
    made_arm("shift", "convnext", space={"shift": SHARE}, shift=1.0),
]
# arm: probability that a clip is classified correctly
SKILL = {"baseline": 0.5, "convnext": 0.6, "mixup": 0.9, "shift": 0.6}


def run_facts() -> dict[str, Any]:
    return {
        "format": 1,
        "created": "2026-01-02T03:04:05+00:00",
        "command": ["regularization.py", "--num-samples", "12"],
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": False,
        "packages": {"python": "3.11.2", "torch": "2.11.0"},
        "machine": {"system": "Linux", "processor": "a processor", "gpus": [], "cuda": None},
    }


def data_facts(classes: int, clips: int) -> dict[str, Any]:
    return {
        "title": f"tones ({clips} clips, {classes} classes)",
        "root": "/somewhere/tones",
        "stand_in": False,
        "fingerprint": "abc",
        "clips": clips,
        "classes": [f"class_{number}" for number in range(classes)],
        "padded": 3,
        "cut": 2,
        "several_channels": 0,
        "rates": {"8000": clips},
    }


def made_manifest(
    name: str = "made", arms: list[dict] = ARMS, classes: int = 3, clips: int = 60, **changes: Any
) -> dict[str, Any]:
    """Return a sweep's manifest, with `changes` of its entries."""
    manifest = run_facts() | {
        "name": name,
        "data": data_facts(classes, clips),
        "split": {
            "train": [1, 2, 3],
            "val": 4,
            "test": 5,
            "train_clips": 3 * clips // 5,
            "val_clips": clips // 5,
            "left_out": 0,
        },
        "preset": {"name": "small", "says": "reduced to fit a test"},
        "arms": arms,
        "reference": "convnext",
        "trials": TRIALS * len(arms),
        "search": "sobol",
        "scheduler": {"name": "asha", "grace": 0.3, "factor": 2, "ladders": "one for each arm"},
        "seed": 0,
        "resources": {"machines": [{"cpus": 2, "gpus": 0}], "share": {"cpus": 1, "gpus": 0, "slots": 2}},
    }
    return manifest | changes


def make_clips(classes: int, per_class: int) -> list[dict[str, Any]]:
    """Return the clips of five folds, `per_class` of a class in each; two takes of a source."""
    return [
        {
            "filename": f"{fold}-{fold}{target}{take // 2}-{'AB'[take % 2]}-{target}.wav",
            "fold": fold,
            "target": target,
            "category": f"class_{target}",
            "source": f"{fold}{target}{take // 2}",
        }
        for fold in range(1, 6)
        for target in range(classes)
        for take in range(per_class)
    ]


def write_study(
    folder: Path,
    *,
    arms: list[dict] = ARMS,
    skill: dict[str, float] = SKILL,
    classes: int = 3,
    per_class: int = 4,
    seeds: int = 2,
    folds: tuple[int, ...] = (1, 2, 3, 4, 5),
    top: int = 1,
    confirm: bool = True,
    **changes: Any,
) -> Path:
    """Write a whole sweep and, if wanted, its confirmed runs; `changes` are of the sweep's manifest."""
    rng, clips = np.random.default_rng(0), make_clips(classes, per_class)
    folder.mkdir(parents=True)
    write_json(folder / "manifest.json", made_manifest(folder.name, arms, classes, len(clips), **changes))
    events = list(sweep_events(arms, skill, rng))
    write_events(folder / "events.jsonl", events)
    if confirm:
        frozen = [entry for arm in arms for entry in freeze(arm, events, top)]
        data = data_facts(classes, len(clips))
        phase = {"data": data, "frozen": frozen, "left_out": [], "folds": list(folds), "seeds": seeds}
        phase |= {"test_fold": 5, "searched": [1, 2, 3, 4]}
        write_confirm(folder / "confirm", run_facts() | phase, skill, clips, rng)
    return folder


def sweep_events(arms: list[dict], skill: dict[str, float], rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Yield three trials an arm: its default setting and another in full, and one that is stopped after two epochs."""
    for index in range(TRIALS):
        for place, arm in enumerate(arms):
            trial, points = index * len(arms) + place, {knob: draw(space, rng) for knob, space in arm["space"].items()}
            sampled = points if index else {}
            config = arm["fixed"] | sampled | {"seed": index}
            yield {"event": "deal", "trial": trial, "arm": arm["name"], "sampled": sampled, "config": config}
            epochs = 2 if index == 2 else EPOCHS
            for epoch in range(1, epochs + 1):
                accuracy = float(np.clip(skill[arm["name"]] * epoch / EPOCHS + rng.normal(0, 0.02), 0, 1))
                yield epoch_event(trial, arm["name"], epoch) | {"val_acc": accuracy, "val_loss": 1.0 - accuracy}
            reason = "stopped" if index == 2 else "finished"
            yield {"event": "end", "trial": trial, "arm": arm["name"], "epochs": epochs, "reason": reason}


def draw(space: dict[str, Any], rng: np.random.Generator) -> float:
    low, high = space["low"], space["high"]
    return float(np.exp(rng.uniform(np.log(low), np.log(high))) if space["log"] else rng.uniform(low, high))


def epoch_event(trial: int, arm: str, epoch: int) -> dict[str, Any]:
    return {
        "event": "epoch",
        "trial": trial,
        "arm": arm,
        "epoch": epoch,
        "train_loss": 1.0 / epoch,
        "train_acc": 0.2 * epoch,
        "val_loss": None,
        "val_acc": None,
        "lr": 1e-3,
        "seconds": 1.5,
        "diverged": False,
    }


def freeze(arm: dict, events: list[dict], top: int) -> list[dict]:
    """Return the arm's best configurations, as they stand in the manifest of the second phase."""
    last = [e for e in events if e["arm"] == arm["name"] and e.get("epoch") == EPOCHS]
    last.sort(key=lambda event: -event["val_acc"])
    configs = {event["trial"]: event["config"] for event in events if event["event"] == "deal"}
    return [
        {
            "arm": arm["name"],
            "rank": rank,
            "trial": event["trial"],
            "val_acc": event["val_acc"],
            "config": {knob: value for knob, value in configs[event["trial"]].items() if knob != "seed"},
            "parameters": arm["parameters"],
            "epochs": EPOCHS,
        }
        for rank, event in enumerate(last[:top], start=1)
    ]


def write_confirm(
    folder: Path, manifest: dict, skill: dict[str, float], clips: list[dict], rng: np.random.Generator
) -> None:
    (folder / "predictions").mkdir(parents=True)
    write_json(folder / "manifest.json", manifest)
    with (folder / "clips.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(clips[0]))
        writer.writeheader()
        writer.writerows(clips)
    targets, folds = (np.array([clip[name] for clip in clips]) for name in ("target", "fold"))
    hard = rng.uniform(size=len(clips))  # a clip is as hard for one arm as for another
    runs = itertools.product(range(manifest["seeds"]), manifest["folds"], manifest["frozen"])
    events: list[dict[str, Any]] = []
    for number, (seed, fold, frozen) in enumerate(runs):
        target = targets[folds == fold]
        right = 0.5 * hard[folds == fold] + 0.5 * rng.uniform(size=len(target)) < skill[frozen["arm"]]
        name = f"{frozen['arm']}-{frozen['rank']}-fold{fold}-seed{seed}.npy"
        np.save(folder / "predictions" / name, make_logits(target, right, len(manifest["data"]["classes"]), rng))
        events += run_events(number, frozen, fold, seed, float(right.mean()))
    write_events(folder / "events.jsonl", events)


def make_logits(target: np.ndarray, right: np.ndarray, classes: int, rng: np.random.Generator) -> np.ndarray:
    logits = rng.normal(size=(len(target), classes))
    chosen = np.where(right, target, (target + rng.integers(1, classes, len(target))) % classes)
    logits[np.arange(len(target)), chosen] += 10.0
    return logits.astype(np.float32)


def run_events(number: int, frozen: dict[str, Any], fold: int, seed: int, accuracy: float) -> list[dict[str, Any]]:
    arm, run = frozen["arm"], {"rank": frozen["rank"], "fold": fold, "seed": seed}
    deal = {"event": "deal", "trial": number, "arm": arm, **run, "config": frozen["config"] | {"seed": 7}}
    epochs = [epoch_event(number, arm, epoch) for epoch in range(1, EPOCHS + 1)]
    epochs[-1] |= {"test_loss": 1.0 - accuracy, "test_acc": accuracy}
    return [deal, *epochs, {"event": "end", "trial": number, "arm": arm, "epochs": EPOCHS, "reason": "finished"}]


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))


def write_events(path: Path, events: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps({"seq": seq, **event}) + "\n" for seq, event in enumerate(events)))


def edit_json(path: Path, **changes: Any) -> None:
    write_json(path, json.loads(path.read_text()) | changes)


def write_right(folder: Path, right: dict[str, list[bool]]) -> None:
    """Rewrite the predictions of some arms: in every run, which clips of a fold are right, in their order.

    What is wrong is taken for the next class.
    """
    manifest = json.loads((folder / "confirm" / "manifest.json").read_text())
    classes = len(manifest["data"]["classes"])
    with (folder / "confirm" / "clips.csv").open() as file:
        clips = list(csv.DictReader(file))
    for arm, fold, seed in itertools.product(right, manifest["folds"], range(manifest["seeds"])):
        target = np.array([int(clip["target"]) for clip in clips if clip["fold"] == str(fold)])
        chosen = np.where(right[arm], target, (target + 1) % classes)
        np.save(predictions(folder, arm, fold, seed), np.eye(classes, dtype=np.float32)[chosen])


def predictions(folder: Path, arm: str, fold: int, seed: int, rank: int = 1) -> Path:
    return folder / "confirm" / "predictions" / f"{arm}-{rank}-fold{fold}-seed{seed}.npy"


def captured() -> Console:
    """Return a terminal of 80 columns that keeps what is printed in `file`."""
    return Console(file=io.StringIO(), width=80)


def shown(table: Table) -> str:
    console = captured()
    console.print(as_terminal(table))
    return console.file.getvalue()


def csv_rows(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(as_csv(table))))
