"""A checked plan: everything a sweep will do, known before anything starts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from esc50tune.classifier import check_clip_length, count_parameters
from esc50tune.config import TrialConfig, parse_setting
from esc50tune.data import latents
from esc50tune.data.cache import ClipCache
from esc50tune.data.clips import open_search_data
from esc50tune.data.dataset import Dataset
from esc50tune.data.locate import find_dataset, usual_seconds
from esc50tune.data.split import Split, search_split
from esc50tune.errors import UserError
from esc50tune.features import FEATURES
from esc50tune.inputs import open_clips, open_waves
from esc50tune.regularizers import active
from sweeps import halving, ladder
from sweeps.arms import Arm, make_arms, trial_seed, without_effect
from sweeps.console import seconds
from sweeps.folder import absolute, check_disk, results_folder
from sweeps.manifest import describe_run
from sweeps.presets import Preset, find_preset
from sweeps.resources import Machine, Share, check_precision, share_machines, total
from sweeps.studies import Study, study_of

# what a resumed sweep takes over from its first command line
OF_THE_STUDY = (
    *("script", "default_arms", "data", "arms", "num_samples", "base", "feature", "encodec_weights", "preset", "set"),
    *("test_fold", "val_fold", "seed", "search", "scheduler"),
)


@dataclass(frozen=True)
class Plan:
    """What a sweep will do.

    Attributes:
        folder: its results folder, not there yet.
        study: what the script studies.
        facts: how many clips were padded, cut, averaged, and had which rate.
        left_out: how many clips are used on no side because their source recording has takes on another.
        trials: how many will run: the same number for each arm.
        asked: how many were asked for.
        dropped: default arms that would compare nothing, since every arm has their method on.
        settings: the knobs that the command line fixes in every arm.
        arguments: what the command line said of the study and the search, so that it can be resumed.
        time_budget: seconds after which no trial goes on; None for no limit.
        parameters: each arm's number of model parameters.
    """

    folder: Path
    dataset: Dataset
    study: Study
    facts: dict[str, Any]
    split: Split
    train_clips: int
    val_clips: int
    left_out: int
    dropped: list[str]
    preset: Preset
    settings: dict[str, Any]
    arms: list[Arm]
    parameters: dict[str, int]
    trials: int
    asked: int
    search: str
    scheduler: str
    seed: int
    machines: Sequence[Machine]
    share: Share
    arguments: dict[str, Any]
    time_budget: float | None

    @property
    def epochs(self) -> dict[str, int]:
        """Length of each arm's full schedule, by name."""
        return {arm.name: arm.fixed["epochs"] for arm in self.arms}

    @property
    def checkpoint_bytes(self) -> int:
        """What all trials' last checkpoints take, 4 bytes a number: weights, AdamW's two moments, averaged weights."""
        kept = {arm.name: 3 + sum(method.copies for method in active(self.config(arm))) for arm in self.arms}
        return sum(4 * kept[name] * self.parameters[name] for name in kept) * (self.trials // len(self.arms))

    @property
    def preset_says(self) -> str:
        """What the preset says of itself, and what the command line changed of it."""
        arms = [arm.fixed for arm in self.arms]
        return self.preset.describe(arms, {knob: arms[0].get(knob) for knob in self.settings})

    def open_clips(self, arm: Arm) -> ClipCache:
        """Open the clips that the arm's batches are made of; compute its features first where they are missing."""
        return open_clips(self.dataset, self.config(arm), self.split)

    def config(self, arm: Arm) -> TrialConfig:
        """Return the arm's first trial: its default setting."""
        return arm.config({}, trial_seed(self.seed, 0))

    def present(self, name: str | None) -> str | None:
        """Return the name of an arm, or None where this sweep does not run it."""
        return name if any(arm.name == name for arm in self.arms) else None

    def manifest(self) -> dict[str, Any]:
        always_on = [method.name for method in active(TrialConfig())]  # weight decay
        return describe_run() | {
            "name": self.folder.name,
            "data": {
                "title": self.dataset.title,
                "root": str(self.dataset.root),
                "stand_in": self.dataset.is_stand_in,
                "fingerprint": self.dataset.fingerprint,
                "clips": len(self.dataset.clips),
                "classes": list(self.dataset.classes),
                **self.facts,
            },
            "split": asdict(self.split)
            | {"train_clips": self.train_clips, "val_clips": self.val_clips, "left_out": self.left_out},
            "preset": {"name": self.preset.name, "says": self.preset_says},
            "arms": [
                {
                    "name": arm.name,
                    "against": self.present(self.study.against.get(arm.name)),
                    "fixed": arm.fixed,
                    "on": [method.name for method in active(self.config(arm)) if method.name not in always_on],
                    "space": {knob: search._asdict() for knob, search in arm.space.items()},
                    "parameters": self.parameters[arm.name],
                    "epochs": arm.fixed["epochs"],
                }
                for arm in self.arms
            ],
            "encoders": {weights: latents.fingerprint(weights) for weights in encoders(self.arms)},
            "reference": self.present(self.study.reference),
            "trials": self.trials,
            "search": self.search,
            "scheduler": rule(self.scheduler),
            "seed": self.seed,
            "arguments": self.arguments,
            "resources": {"machines": [asdict(machine) for machine in self.machines], "share": asdict(self.share)},
        }


def make_plan(args: argparse.Namespace, machines: Sequence[Machine]) -> Plan:
    """Check a command line against the data and the machines.

    Raises:
        UserError: anything about it is wrong; nothing was written but the cache of decoded clips.
    """
    folder, study = results_folder(args), study_of(args)
    preset = find_preset(args.preset, total(machines).gpus > 0)
    settings = read_settings(args)
    share = share_machines(machines, args.gpus_per_trial, args.max_concurrent)
    names, dropped = choose_arms(args, study, preset, settings)  # wrong knobs are told before any data is read
    trials = equal_deal(args.num_samples, len(names))
    dataset = find_dataset(args.data)
    split = choose_split(args, dataset, preset)
    if args.encodec_weights not in (None, "pretrained", "untrained"):
        args.encodec_weights = str(absolute("--encodec-weights", args.encodec_weights))
    base = {"clip_seconds": usual_seconds(dataset), "encodec_weights": args.encodec_weights or "pretrained"}
    arms = make_arms(study, names, preset, base, settings)
    check_precision((arm.fixed["precision"] for arm in arms), share)
    if args.encodec_weights and args.encodec_weights not in encoders(arms):
        raise UserError(
            f"no arm takes EnCodec's weights from there: leave out --encodec-weights {args.encodec_weights}"
        )
    parameters = check_arms(arms, len(dataset.classes), args.debug)
    waves = {arm.name: open_waves(dataset, arm.config({}, 0)) for arm in arms}
    data = open_search_data(waves[arms[0].name], split)
    plan = Plan(
        folder=folder,
        dataset=dataset,
        study=study,
        facts=waves[arms[0].name].facts,
        split=split,
        train_clips=len(data.train),
        val_clips=len(data.val),
        left_out=data.train.left_out + data.val.left_out,
        dropped=dropped,
        preset=preset,
        settings=settings,
        arms=arms,
        parameters=parameters,
        trials=trials,
        asked=args.num_samples,
        search=args.search,
        scheduler=args.scheduler,
        seed=args.seed,
        machines=machines,
        share=Share(share.cpus, share.gpus, min(share.slots, trials)),
        arguments={name: getattr(args, name) for name in OF_THE_STUDY}
        | {
            "data": "auto" if dataset.is_stand_in else str(dataset.root),
            "preset": preset.name,
            "arms": ",".join(names),
        },
        time_budget=None if args.time_budget is None else seconds(args.time_budget),
    )
    check_disk(plan.folder, plan.checkpoint_bytes)
    return plan


def read_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the knobs that the command line fixes in every arm.

    Raises:
        UserError: one is unknown, or has an option of its own.
    """
    settings = dict(parse_setting(text) for text in args.set)
    if args.feature is not None:
        if "feature" in settings:
            raise UserError(f"--feature {args.feature} and --set feature={settings['feature']}: leave out one of them")
        settings["feature"] = args.feature
    if "encodec_weights" in settings:
        raise UserError(f"--set encodec_weights={settings['encodec_weights']}: use --encodec-weights")
    if "seed" in settings:
        raise UserError(f"--set seed={settings['seed']}: a trial's seed follows from the sweep's; use --seed")
    return settings


def rule(scheduler: str) -> dict[str, Any]:
    """Return what the manifest says of how trials are stopped; of none, where ASHA's rungs would lie."""
    if scheduler == "halving":
        told = {"grace": halving.GRACE, "factor": 1 / halving.GO_ON, "by": "loss"}
    else:
        told = {"grace": ladder.GRACE, "factor": ladder.FACTOR, "by": "accuracy"}
    return {"name": scheduler, "judged": "within each arm"} | told


def encoders(arms: list[Arm]) -> list[str]:
    """Return which EnCodec weights the arms take."""
    return sorted({arm.fixed["encodec_weights"] for arm in arms if arm.fixed["feature"] == "encodec"})


def check_arms(arms: list[Arm], classes: int, debug: bool) -> dict[str, int]:
    """Return each arm's number of parameters, after all that can be tried without data.

    Raises:
        UserError: a model cannot be built or is too large for a clip, or a file that a feature needs is bad.
    """
    parameters = {}
    for arm in arms:
        config = arm.config({}, 0)
        parameters[arm.name] = count_parameters(config, classes)
        if not debug:  # there, a breakpoint in the model should stop at the first real batch: see debug()
            check_clip_length(config, classes)
        FEATURES[config.feature].require(config)
    return parameters


def choose_arms(
    args: argparse.Namespace, study: Study, preset: Preset, settings: dict[str, Any]
) -> tuple[list[str], list[str]]:
    """Return the names of the arms to run, and of those default arms that are not run because they compare nothing."""
    names = list(study.default) if args.arms is None else [name.strip() for name in args.arms.split(",")]
    arms = make_arms(study, names, preset, {}, settings)
    idle = without_effect(
        arms, make_arms(study, [study.reference], preset, {}, settings)[0] if study.reference else None
    )
    if idle and args.arms is not None:
        raise UserError(
            f"arm '{idle[0]}' would be the same as '{study.reference}': the preset, --base or --set switches it on in "
            "every arm; leave out one of them"
        )
    return [name for name in names if name not in idle], idle


def equal_deal(asked: int, arms: int, flag: str = "--num-samples") -> int:
    if asked < arms:
        raise UserError(f"{flag} {asked} is fewer than one trial for each of {arms} arms; the smallest is {arms}")
    return asked - asked % arms


def choose_split(args: argparse.Namespace, dataset: Dataset, preset: Preset) -> Split:
    """By default fold 5 is kept for the test and fold 4 selects; a preset without a test fold selects on 5."""
    if preset.holds_out_test:
        test_fold = 5 if args.test_fold is None else args.test_fold
        return search_split(dataset, test_fold, 4 if args.val_fold is None else args.val_fold)
    if args.test_fold is not None:
        raise UserError(f"--test-fold {args.test_fold}: preset '{preset.name}' has no test fold; leave out one of them")
    return search_split(dataset, None, 5 if args.val_fold is None else args.val_fold)
