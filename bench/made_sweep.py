"""A results folder of any size, as a sweep with early stopping leaves it; nothing is trained."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sweeps.arms import Arm, make_arms
from sweeps.cli import make_parser
from sweeps.events import FILE, Event
from sweeps.halving import GO_ON, rung_epoch
from sweeps.manifest import describe_run, write_manifest
from sweeps.plan import OF_THE_STUDY, rule
from sweeps.presets import PRESETS
from sweeps.studies import regularization

NAMES = ("convnext", "dropout", "label-smoothing", "mixup", "shift")
EPOCHS = 6


def made_arms() -> list[Arm]:
    return make_arms(regularization(NAMES), NAMES, PRESETS["small"], {}, {"epochs": EPOCHS})


def write_sweep(folder: Path, trials: int) -> Path:
    """Write a finished sweep of so many trials, a multiple of the arms."""
    folder.mkdir()
    arms = made_arms()
    write_manifest(folder, manifest(arms, trials, folder.name))
    told = enumerate(events(arms, trials // len(arms)))
    lines = (json.dumps({"seq": number, "clock": 0.01 * number, **event}) + "\n" for number, event in told)
    (folder / FILE).write_text("".join(lines))
    return folder


def manifest(arms: list[Arm], trials: int, name: str) -> dict[str, Any]:
    data = {"title": "noise", "root": "/", "stand_in": False, "fingerprint": "0", "padded": 0, "cut": 0}
    data["rates"] = {"44100": 400}
    wanted = ["--arms", ",".join(NAMES), "--num-samples", f"{trials}", "--preset", "small"]
    asked = vars(make_parser("regularization", "", NAMES).parse_args(wanted))
    split = {"train": [1, 2, 3], "val": 4, "test": 5, "train_clips": 240, "val_clips": 80, "left_out": 0}
    return describe_run() | {
        "name": name,
        "data": data,
        "split": split,
        "preset": {"name": "small", "says": "nothing was trained"},
        "arms": [
            {
                "name": arm.name,
                "against": None if arm.name == "convnext" else "convnext",
                "fixed": arm.fixed,
                "on": [],
                "space": {knob: search._asdict() for knob, search in arm.space.items()},
                "parameters": 1_000,
                "epochs": EPOCHS,
            }
            for arm in arms
        ],
        "encoders": {},
        "reference": "convnext",
        "trials": trials,
        "search": "sobol",
        "scheduler": rule("halving"),
        "seed": 0,
        "arguments": {flag: asked[flag] for flag in OF_THE_STUDY},
        "resources": {"share": {"cpus": 1, "gpus": 0}},
    }


def events(arms: list[Arm], per_arm: int) -> Iterator[Event]:
    """Yield what a sweep writes whose arms come to the rung together; an arm's earlier trials are better."""
    rng = np.random.default_rng(0)
    until = [rung_epoch(EPOCHS), EPOCHS]
    stays = [per_arm, math.ceil(GO_ON * per_arm), 0]  # trials of an arm that begin each part
    for part, end in enumerate(until):
        for trial in range(stays[part] * len(arms)):
            arm, index = arms[trial % len(arms)], trial // len(arms)
            about = {"trial": trial, "arm": arm.name}
            begun = until[part - 1] if part else 0
            yield {"event": "promote", **about, "epochs": begun} if part else deal(arm, about, index, rng)
            for epoch in range(begun + 1, end + 1):
                yield {"event": "epoch", **about, **epoch_result(epoch, 1 - (index + 1) / (per_arm + 1))}
            if index >= stays[part + 1]:
                yield {"event": "end", **about, "reason": "finished" if end == EPOCHS else "stopped", "epochs": end}


def deal(arm: Arm, about: dict[str, Any], index: int, rng: np.random.Generator) -> Event:
    sampled = {knob: float(rng.uniform(reach.low, reach.high)) for knob, reach in arm.space.items()} if index else {}
    return {"event": "deal", **about, "sampled": sampled, "config": arm.fixed | sampled | {"seed": index}}


def epoch_result(epoch: int, accuracy: float) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "train_loss": 1.0,
        "train_acc": accuracy,
        "val_loss": 1.0,
        "val_acc": accuracy,
        "lr": 1e-3,
        "seconds": 1.0,
        "diverged": False,
    }
