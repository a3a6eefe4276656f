"""The second phase: what was frozen of a sweep, and the runs that test it.

`docs/results-folder.md` describes the files.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from analysis.files import is_file, read_events
from analysis.load import Results
from analysis.load_confirmed import never_tried, read_frozen
from analysis.shapes import CONFIRM_BEGUN, SEARCH
from esc50tune.config import TrialConfig
from esc50tune.data.dataset import Dataset
from esc50tune.data.latents import check_unchanged
from esc50tune.errors import UserError
from esc50tune.files import write_whole
from esc50tune.seeds import derive_seed
from sweeps import events
from sweeps.manifest import FILE, begin_run, code_changes, describe_run, write_manifest
from sweeps.same_data import same_data
from sweeps.state import Trial

FOLDER = "confirm"
RUN_KEY = ("arm", "rank", "fold", "seed")


@dataclass(frozen=True)
class Frozen:
    """A configuration that the search chose, before any test clip was read.

    Attributes:
        rank: 1 for the best of its arm.
        trial: its number in the sweep; `val_acc` is its score there, `seconds` how long it took.
        config: every knob but `seed`.
    """

    arm: str
    rank: int
    trial: int
    val_acc: float
    seconds: float
    config: dict[str, Any]
    parameters: int
    epochs: int

    @property
    def label(self) -> str:
        return self.arm if self.rank == 1 else f"{self.arm}#{self.rank}"


@dataclass(frozen=True)
class Run:
    """One training of a frozen configuration: on all folds but `fold`, then tested on that."""

    frozen: Frozen
    fold: int
    seed: int

    @property
    def key(self) -> tuple[str, int, int, int]:
        """Return what tells it from all others: the values of `RUN_KEY`."""
        return self.frozen.arm, self.frozen.rank, self.fold, self.seed

    @property
    def name(self) -> str:
        return f"{self.frozen.arm}-{self.frozen.rank}-fold{self.fold}-seed{self.seed}"

    def config(self, sweep_seed: int) -> TrialConfig:
        """Return its configuration. All arms' runs with the same fold and seed start from the same seed."""
        return TrialConfig.from_flat(
            self.frozen.config | {"seed": derive_seed(sweep_seed, "confirm", self.fold, self.seed)}
        )


def freeze(results: Results, top: int) -> tuple[list[Frozen], list[dict[str, str]]]:
    """Choose each arm's best trials of those that ran their full schedule; also return the arms that have none."""
    configs = {event["trial"]: event["config"] for event in results.events if event["event"] == "deal"}
    frozen, left_out = [], []
    for arm in results.manifest["arms"]:
        trials = results.trials[results.trials["arm"] == arm["name"]].dropna(subset=["score"])
        best = trials.sort_values(["score", "val_loss"], ascending=[False, True]).head(top)
        for rank, trial in enumerate(best.itertuples(), start=1):
            config = {knob: value for knob, value in configs[trial.trial].items() if knob != "seed"}
            told = (int(trial.trial), float(trial.score), float(trial.seconds))
            frozen.append(Frozen(arm["name"], rank, *told, config, arm["parameters"], arm["epochs"]))
        if best.empty:
            left_out.append({"arm": arm["name"], "why": "none of its trials ran its full schedule"})
    return frozen, left_out


@dataclass(frozen=True)
class Confirmation:
    """All runs of the second phase of one sweep.

    Attributes:
        folder: where its files are.
        sweep: the sweep's manifest.
        frozen: what is tested.
        folds: folds that are tested in turn.
        seeds: runs of each frozen configuration on each fold.
        test_fold: the fold that the search never saw; None where there is none.
        ended: how many of the sweep's trials have ended.
    """

    folder: Path
    sweep: dict[str, Any]
    dataset: Dataset
    frozen: list[Frozen]
    left_out: list[dict[str, str]]
    folds: list[int]
    seeds: int
    test_fold: int | None
    ended: int

    def runs(self) -> Iterator[Run]:
        """Yield all runs; those that are compared with each other follow each other."""
        for seed, fold, frozen in product(range(self.seeds), self.folds, self.frozen):
            yield Run(frozen, fold, seed)

    def predictions(self, run: Run) -> Path:
        return self.folder / "predictions" / f"{run.name}.npy"

    def missing(self, tries: Mapping[tuple[str, int, int, int], Trial]) -> list[Run]:
        """Return the runs that must be dealt: one that diverged is done, one whose predictions are lost is not.

        To train a run until it does not diverge would favour its arm.

        Args:
            tries: the last one of each run that the log has, by the run's key.
        """

        def done(run: Run) -> bool:
            reason = tries[run.key].reason if run.key in tries else "never dealt"
            return reason in (None, "diverged") or (reason == "finished" and self.predicted(run))

        return [run for run in self.runs() if not done(run)]

    def predicted(self, run: Run) -> bool:
        """Tell whether a run's predictions are there, undamaged."""
        shape = (sum(clip.fold == run.fold for clip in self.dataset.clips), len(self.dataset.classes))
        try:
            return np.load(self.predictions(run), mmap_mode="r", allow_pickle=False).shape == shape
        except (OSError, ValueError, EOFError):
            return False

    def checkpoint(self, run: Run) -> Path:
        """Return where a run that is not done keeps its last state."""
        return self.folder / "checkpoints" / f"{run.name}.pt"

    def kept(self, run: Run) -> Path | None:
        """Return where the weights of this run are kept: of one run of each arm."""
        fold = self.folds[-1] if self.test_fold is None else self.test_fold
        kept = (run.frozen.rank, run.fold, run.seed) == (1, fold, 0)
        return self.folder / "checkpoints" / f"{run.frozen.arm}.pt" if kept else None

    def about(self, run: Run) -> dict[str, Any]:
        """Return what a run's checkpoint carries besides, so that it can be used without this folder and the clips."""
        data = {name: self.sweep["data"][name] for name in ("title", "stand_in", "fingerprint", "classes")}
        return {"arm": run.frozen.arm, "fold": run.fold, "seed": run.seed, "encoders": self.sweep["encoders"], **data}

    def write(self) -> None:
        """Write the manifest and the list of clips. What the first call wrote of itself and of what it froze stays: it
        is older than every test.

        Raises:
            UserError: what is frozen here already was frozen from other data or by other code; or nothing can be
                written here.
            ResultsError: the manifest that is there is damaged, or of a newer format.
        """
        manifest = describe_run() | {
            "data": self.sweep["data"],
            "frozen": [asdict(frozen) for frozen in self.frozen],
            "left_out": self.left_out,
            "test_fold": self.test_fold,
            "searched": searched(self.sweep),
        }
        now, before = origin(manifest), read_manifest(self.folder)
        for what, was in (origin(before) if before else {}).items():
            if was != now[what]:
                changes = code_changes(before) if what == "code" else ""
                raise UserError(
                    f"'{self.folder}' was begun with {what} {was}, and this is {now[what]}{changes}: runs that are "
                    f"compared must share it; go back to it, or move '{self.folder}' away to start anew"
                )
        try:
            (self.folder / "predictions").mkdir(parents=True, exist_ok=True)
            write_clips(self.folder, self.dataset)
        except OSError as error:
            raise UserError(f"'{self.folder}' cannot be written: {error.strerror}") from None
        write_manifest(self.folder, begin_run(before or manifest) | {"folds": self.folds, "seeds": self.seeds})


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a second phase that was begun, or None.

    Raises:
        ResultsError: it has a newer format, or is damaged.
    """
    path = folder / FILE
    return read_frozen(path, CONFIRM_BEGUN) if is_file(path) else None


def origin(manifest: dict[str, Any]) -> dict[str, str]:
    """Return the hashes of what all calls of a second phase must share."""
    return {"code": manifest["code"], "data": manifest["data"]["fingerprint"]}


def write_clips(folder: Path, dataset: Dataset) -> None:
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["filename", "fold", "target", "category", "source"])
    for fold in dataset.folds:
        for clip in (clip for clip in dataset.clips if clip.fold == fold):
            target = dataset.classes.index(clip.category)
            rows.writerow([clip.filename, fold, target, clip.category, clip.src_file])
    write_whole(folder / "clips.csv", table.getvalue().encode())


def searched(sweep: dict[str, Any]) -> list[int]:
    """Return the folds that the search trained or selected on."""
    return sorted([*sweep["split"]["train"], sweep["split"]["val"]])


def plan_confirmation(
    results: Results, folder: Path, seeds: int, folds: str, top: int, data: str = "auto"
) -> Confirmation:
    """Freeze what a sweep found, or take up what was frozen, and lay out the runs.

    Args:
        results: the sweep's.
        folder: its results folder.
        seeds: runs of each frozen configuration on each fold.
        folds: 'all', or 'test' for the sweep's test fold alone.
        top: how many configurations of each arm.
        data: where the sweep's clips are by now; 'auto' where they were.

    Raises:
        UserError: nothing can be frozen, there is no test fold, or the data are not the sweep's any more; or what was
            frozen is not of this sweep.
        ResultsError: what was frozen cannot be read, or the log of what can be.
    """
    sweep, place = results.manifest, folder / FOLDER
    dataset = same_data(sweep, data)
    check_unchanged(sweep["encoders"])
    before = read_manifest(place)
    if before is None:
        read_events(folder / events.FILE, SEARCH)  # what is frozen is chosen from all of it
    frozen, left_out = freeze(results, top) if before is None else take_up(results, place, before, top)
    if not frozen:
        raise UserError(f"no trial of '{folder}' ran its full schedule: there is nothing to confirm")
    tested = tested_folds(sweep, dataset, folds)
    if before:  # what was tested stays a part of it
        if strange := sorted({*before["folds"]} - {*tested_folds(sweep, dataset, "all")}):
            raise UserError(f"'{place}' tests fold {strange[0]}, which cannot be tested; move it away to start anew")
        tested, seeds = sorted({*tested, *before["folds"]}), max(seeds, before["seeds"])
    ended = int((results.trials["reason"] != "unfinished").sum())
    return Confirmation(place, sweep, dataset, frozen, left_out, tested, seeds, sweep["split"]["test"], ended)


def take_up(
    results: Results, place: Path, before: dict[str, Any], top: int
) -> tuple[list[Frozen], list[dict[str, str]]]:
    """Return what an earlier call froze; also the arms that it left out.

    Args:
        results: the sweep's.
        place: the folder of the second phase.
        before: its manifest.
        top: how many configurations of each arm are asked for.

    Raises:
        UserError: it froze another number of each arm, or what the sweep did not try. Where the sweep's log has lost
            events, what it does not tell of is believed.
    """
    known = [field.name for field in fields(Frozen)]
    frozen = [Frozen(**{name: entry[name] for name in known}) for entry in before["frozen"]]
    best = max((one.rank for one in frozen), default=top)
    if best != top:
        raise UserError(f"--top {top}: '{place}' has the best {best} of each arm frozen")
    arms = {arm["name"]: arm for arm in results.manifest["arms"]}
    deals = {event["trial"]: event for event in results.events if event["event"] == "deal"}
    for one in frozen:
        if one.arm in arms and one.trial not in deals and results.lost:
            continue  # what was frozen stands in the manifest; that the log has lost its trial, the report says
        fault = never_tried(asdict(one), arms[one.arm], deals) if one.arm in arms else "it is no arm of this sweep"
        if fault:
            raise UserError(f"'{place}' cannot be gone on with: of {one.label}, {fault}; move it away to start anew")
    return frozen, before["left_out"]


def tested_folds(sweep: dict[str, Any], dataset: Dataset, folds: str) -> list[int]:
    """Return the folds to test. A fold that alone selected, and is all that the sweep has, is no test.

    Raises:
        UserError: the sweep kept no test fold, and no other is asked for.
    """
    split = sweep["split"]
    if folds == "test":
        if split["test"] is None:
            raise UserError(f"--folds test: '{sweep['name']}' kept no test fold: fold {split['val']} selected")
        return [split["test"]]
    return [fold for fold in dataset.folds if split["test"] is not None or fold != split["val"]]
