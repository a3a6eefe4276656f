"""The second phase of a sweep: what was frozen, and how each clip was predicted."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

Run = tuple[str, int, int]  # label of the arm, fold, seed


@dataclass(frozen=True)
class Block:
    """The runs that are compared: every arm of it has every seed of it on every fold of it."""

    arms: tuple[str, ...]
    folds: tuple[int, ...]
    seeds: int


class Diverged(NamedTuple):
    """How many runs of an arm diverged, of how many, and how many predictions they lack."""

    runs: int
    of: int
    predictions: int


@dataclass(frozen=True)
class Confirmed:
    """The confirmed runs of a sweep.

    An arm's label is its name for the best of its configurations, `NAME#2`, `NAME#3` for others.

    Attributes:
        clips: `clips.csv`, in the order of the predictions.
        logits: of each run that counts, over the clips of its fold; not a number where the model had diverged.
        left_out: what is unsound or missing and therefore in no number, a sentence each.
        unchecked: the labels of arms of which the sweep's log does not tell any more whether it tried what was frozen.
    """

    manifest: dict[str, Any]
    events: list[dict[str, Any]]
    clips: pd.DataFrame
    logits: dict[Run, np.ndarray]
    left_out: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    @cached_property
    def block(self) -> Block:
        """The runs that are compared. An arm with less than half of the runs of the most complete one is none of them:
        it would take clips away from all others."""
        count = {arm: sum(run[0] == arm for run in self.logits) for arm in labels(self.manifest)}
        arms = tuple(arm for arm, runs in count.items() if runs and 2 * runs >= max(count.values()))
        folds, seeds = self.manifest["folds"], self.manifest["seeds"]
        return largest_block(self.logits, arms, folds, seeds) if arms else Block((), (), 0)

    @property
    def tested(self) -> pd.DataFrame:
        """The clips that all compared arms were tested on, in the order of `correct` and `predicted`."""
        return self.clips[self.clips["fold"].isin(self.block.folds)]

    def predicted(self) -> dict[str, np.ndarray]:
        """Return each arm's predicted classes, [seeds, clips]; -1, which is wrong, where the model had diverged."""
        fold = self.tested["fold"].to_numpy()
        predictions = {}
        for arm in self.block.arms:
            classes = np.full((self.block.seeds, len(fold)), -1)
            for k in self.block.folds:
                for seed in range(self.block.seeds):
                    classes[seed, fold == k] = predicted_classes(self.logits[arm, k, seed])
            predictions[arm] = classes
        return predictions

    def correct(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Return which predictions of each arm are right, [seeds, clips], and the clips' folds and sources."""
        tested = self.tested
        target = tested["target"].to_numpy()
        correct = {arm: classes == target for arm, classes in self.predicted().items()}
        return correct, tested["fold"].to_numpy(), tested["source"].to_numpy()

    def diverged(self) -> dict[str, Diverged]:
        """Return what diverged of the compared runs, by the labels of the arms that have such runs."""
        fold, found = self.tested["fold"].to_numpy(), {}
        for arm, classes in self.predicted().items():
            runs = sum(int((classes[:, fold == k] < 0).any(axis=1).sum()) for k in self.block.folds)
            if runs:
                found[arm] = Diverged(runs, self.block.seeds * len(self.block.folds), int((classes < 0).sum()))
        return found

    def costs(self) -> pd.DataFrame:
        """Return, by the arms' labels: how many runs there are, the epochs and seconds of all, the mean of their last
        epochs' training accuracy, and the parameters.

        A run that was cut and dealt again counts once, with all its epochs.
        """
        runs = {event["trial"]: run_of(event) for event in self.events if event["event"] == "deal"}
        epochs = [event for event in self.events if event["event"] == "epoch" and runs[event["trial"]] in self.logits]
        frame = pd.DataFrame(
            [{"arm": runs[event["trial"]][0], "epochs": 1, "seconds": event["seconds"]} for event in epochs],
            columns=["arm", "epochs", "seconds"],
        )
        costs = frame.groupby("arm").sum().reindex(labels(self.manifest), fill_value=0)
        last = {runs[event["trial"]]: event["train_acc"] for event in epochs}
        trained = pd.Series(list(last.values()), [arm for arm, _, _ in last], float)
        costs["train_acc"] = trained.groupby(level=0).mean().reindex(costs.index)
        costs.insert(0, "runs", [sum(run[0] == arm for run in self.logits) for arm in costs.index])
        costs["parameters"] = [frozen["parameters"] for frozen in self.manifest["frozen"]]
        return costs


def label_of(run: Mapping[str, Any]) -> str:
    """Return the label of an arm's configuration, from what has its arm and rank."""
    return run["arm"] if run["rank"] == 1 else f"{run['arm']}#{run['rank']}"


def arm_of(label: str) -> str:
    """Return the name of the arm that a label stands for; names have no `#` themselves."""
    return label.partition("#")[0]


def labels(manifest: dict[str, Any]) -> list[str]:
    return [label_of(frozen) for frozen in manifest["frozen"]]


def run_of(deal: dict[str, Any]) -> Run:
    return label_of(deal), deal["fold"], deal["seed"]


def predicted_classes(logits: np.ndarray) -> np.ndarray:
    """Return each row's largest; -1, which no class has, for what a diverged model gives: no largest that is a number.

    Others may be infinite below, as log-probabilities are.
    """
    return np.where(np.isfinite(logits.max(axis=1)), logits.argmax(axis=1), -1)


def largest_block(runs: Container[Run], arms: tuple[str, ...], folds: list[int], seeds: int) -> Block:
    """Return the largest set of seeds and folds for which all arms have runs; among equals, that with more folds."""
    blocks = []
    for number in range(1, seeds + 1):
        whole = [fold for fold in folds if all((arm, fold, s) in runs for arm in arms for s in range(number))]
        blocks.append(Block(arms, tuple(whole), number))
    return max(blocks, key=lambda block: (block.seeds * len(block.folds), len(block.folds)))
