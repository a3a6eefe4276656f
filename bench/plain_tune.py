"""A sweep as Ray Tune's manual has it: OptunaSearch over all arms, ASHA, a checkpoint an epoch, a process a trial.

What it trains is this project's own trial on this project's cached clips, so that only the sweep around it differs.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from esc50tune.config import TrialConfig
from esc50tune.data.clips import open_search_data
from esc50tune.data.locate import find_dataset
from esc50tune.data.split import Split
from esc50tune.inputs import open_clips
from esc50tune.trial import train_trial

EPOCHS = "epochs.jsonl"


def train(told: dict[str, Any], manifest: dict[str, Any], out: Path) -> None:
    """Train one trial; write when each of its epochs began and ended."""
    torch.set_num_threads(1)
    (arm,) = (arm for arm in manifest["arms"] if arm["name"] == told["arm"])
    sampled = {name.partition("/")[2]: value for name, value in told.items() if name.startswith(f"{arm['name']}/")}
    config, folds = TrialConfig.from_flat(arm["fixed"] | sampled | {"seed": 0}), manifest["split"]
    split = Split(tuple(folds["train"]), folds["val"], folds["test"])
    data = open_search_data(open_clips(find_dataset("auto"), config, split), split)
    with tempfile.TemporaryDirectory() as folder:
        for result in train_trial(config, data, checkpoint=Path(folder) / "checkpoint.pt"):
            end = time.time()
            epoch = {"leg": tune.get_context().get_trial_id(), "start": end - result.seconds, "end": end}
            with (out / EPOCHS).open("a") as file:
                file.write(json.dumps(epoch) + "\n")
            tune.report({"val_acc": result.val_acc}, checkpoint=tune.Checkpoint.from_directory(folder))


def space(trial: Any, manifest: dict[str, Any]) -> None:
    """Choose an arm, and what that arm searches."""
    name = trial.suggest_categorical("arm", [arm["name"] for arm in manifest["arms"]])
    (arm,) = (arm for arm in manifest["arms"] if arm["name"] == name)
    for knob, reach in arm["space"].items():
        trial.suggest_float(f"{name}/{knob}", reach["low"], reach["high"], log=reach["log"])


def main() -> None:
    manifest, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]).absolute()
    epochs = manifest["arms"][0]["epochs"]
    ray.init(
        address="local", num_cpus=manifest["resources"]["share"]["slots"], include_dashboard=False, log_to_driver=False
    )
    tune.Tuner(
        tune.with_resources(partial(train, manifest=manifest, out=out), {"cpu": 1}),
        tune_config=tune.TuneConfig(
            metric="val_acc",
            mode="max",
            search_alg=OptunaSearch(partial(space, manifest=manifest), metric="val_acc", mode="max", seed=0),
            scheduler=ASHAScheduler(max_t=epochs, grace_period=max(1, round(0.3 * epochs)), reduction_factor=2),
            num_samples=manifest["trials"],
        ),
        run_config=tune.RunConfig(storage_path=str(out), name="plain"),
    ).fit()
    ray.shutdown()


if __name__ == "__main__":
    main()
