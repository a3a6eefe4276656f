"""One trial: a generator of epoch results. The sweep, the debug mode and the tests all run this one loop."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esc50tune import speedups
from esc50tune.checkpoint import load_checkpoint, save_checkpoint
from esc50tune.classifier import Classifier
from esc50tune.config import TrialConfig
from esc50tune.data.batch import Batch
from esc50tune.data.clips import Clips, TrialData, batches
from esc50tune.data.resident import on_gpu
from esc50tune.evaluation import Means, auxiliaries, evaluate, figures_of, outputs
from esc50tune.features.once import fitted
from esc50tune.norms import refit_norms
from esc50tune.regularizers import Regularizer, active
from esc50tune.schedule import learning_rate
from esc50tune.seeds import derive_seed, stream


@dataclass(frozen=True)
class EpochResult:
    """What one epoch came to.

    Attributes:
        epoch: 1 for the first.
        train_loss: mean classification loss of the training batches as they were trained on (mixed, smoothed); None if
            not finite.
        train_acc: share of those clips classified right while training; of a mixed clip its heavier part counts.
        val_loss: plain cross entropy, mean over the validation clips, in nats; None if not finite, or none are kept.
        val_acc: share of the validation clips classified right, 0 to 1; 0 if the trial diverged, None if none are kept.
        lr: learning rate of the last step.
        seconds: wall time of training and evaluating this epoch.
        diverged: the loss was not finite; this is the trial's last epoch.
        figures: what auxiliary tasks came to, by name (`train_loss_codes`, `val_acc_codes`, ...); losses None if not
            finite.
    """

    epoch: int
    train_loss: float | None
    train_acc: float
    val_loss: float | None
    val_acc: float | None
    lr: float
    seconds: float
    diverged: bool
    figures: dict[str, float | None]

    def flat(self) -> dict[str, Any]:
        """Return its fields by name, and the figures beside them."""
        fields = asdict(self)
        return fields | fields.pop("figures")


def train_trial(
    config: TrialConfig,
    data: TrialData,
    device: torch.device | None = None,
    checkpoint: Path | None = None,
    finish: Callable[[Trainer], dict[str, float]] | None = None,
    known: int = 0,
    about: dict[str, Any] | None = None,
) -> Iterator[EpochResult]:
    """Train from scratch, or from `checkpoint` where that file exists, and yield one result an epoch.

    A trial's score is `val_acc` of the last epoch of its full schedule: no epoch is ever picked.

    Args:
        config: the trial's knobs.
        data: the clips it may see.
        device: where to train; the first GPU if there is one, else the CPU.
        checkpoint: written whole after each epoch, before its result is yielded; None keeps nothing.
        finish: called when the schedule is done, before the last result is yielded; returns figures for that result.
        known: the results of so many epochs are known, and not yielded again. The checkpoint may be one epoch ahead of
            them, if its result was lost, or behind, if it was lost itself.
        about: what its checkpoints carry besides, such as the names of the classes: plain values.
    """
    trainer = Trainer(config, data, device or default_device(), about)
    for result in epoch_results(trainer, checkpoint):
        if finish is not None and result.epoch == config.epochs and not result.diverged:
            result = replace(result, figures=result.figures | finish(trainer))
        if result.epoch > known:
            yield result


def epoch_results(trainer: Trainer, checkpoint: Path | None) -> Iterator[EpochResult]:
    """Yield the checkpoint's result, where there is one, and that of each epoch after it."""
    if checkpoint is not None and checkpoint.exists():
        yield trainer.load(checkpoint)
    while trainer.epoch < trainer.config.epochs:
        result = trainer.run_epoch()
        if checkpoint is not None and not result.diverged:
            trainer.save(checkpoint, result)
        yield result
        if result.diverged:
            return


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(config: TrialConfig, device: torch.device) -> contextlib.AbstractContextManager:
    """Return the context in which a model of `config` computes on `device`."""
    wanted = config.precision == "bf16" or (config.precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16) if wanted else contextlib.nullcontext()


class Trainer:
    """A classifier, its optimizer and its data, one epoch at a time."""

    def __init__(
        self, config: TrialConfig, data: TrialData, device: torch.device, about: dict[str, Any] | None = None
    ) -> None:
        self.config, self.device, self.about = config, device, about or {}
        self.epoch = 0
        torch.backends.cudnn.allow_tf32 = False  # fp32 is fp32: by default convolutions round to 10 bits on new cards
        self.methods = active(config)
        torch.manual_seed(derive_seed(config.seed, "weights"))
        self.classifier = Classifier(config, data.num_classes).to(device)
        self.data = on_gpu(fitted(self.classifier.feature, config, data, self.methods, device), device)
        groups = [{"params": list(self.classifier.parameters())}]
        for method in self.methods:
            groups = method.parameter_groups(self.classifier, groups)
        # On a CPU too: 33 million parameters take 33 ms instead of 291, the small preset's 0.7 ms instead of 5.7.
        fused = speedups.is_on("optimizer")
        self.optimizer: Any = torch.optim.AdamW(groups, config.lr, weight_decay=0.0, fused=fused)
        for method in self.methods:
            self.optimizer = method.wrap_optimizer(self.optimizer, self.classifier)
            method.start(self.classifier)

    @property
    def size(self) -> int:
        """Of a whole batch, how many clips are computed at once."""
        return self.part_of(self.config.batch_size)

    def part_of(self, clips: int) -> int:
        """Return how many of a batch's clips are computed at once; a last batch, too, is cut into as many parts."""
        return math.ceil(clips / self.config.batch_parts)

    def order(self) -> list[int]:
        """Return the training clips' order in this epoch."""
        return stream(self.config.seed, "order", self.epoch).permutation(len(self.data.train)).tolist()

    def streams(self) -> dict[Regularizer, np.random.Generator]:
        """Return what each method draws from in this epoch."""
        return {method: stream(self.config.seed, method.name, self.epoch) for method in self.methods}

    def autocast(self) -> contextlib.AbstractContextManager:
        return autocast(self.config, self.device)

    def run_epoch(self) -> EpochResult:
        """Train on every clip once in a seeded order, then evaluate."""
        start = time.perf_counter()
        self.epoch += 1
        # Streams that start anew each epoch make a resumed trial equal to an uninterrupted one.
        torch.manual_seed(derive_seed(self.config.seed, "layers", self.epoch))
        trained, lr = self.train()
        used = self.data.val is not None or self.epoch == self.config.epochs  # else nothing reads them
        if used and self.evaluated() is not self.classifier:
            refit_norms(self.evaluated().model, self.parts(), self.autocast)
        both = {f"train_{name}": value for name, value in trained.items()}
        if self.data.val is not None:
            evaluated = evaluate(self.evaluated(), self.data.val, self.device, self.size, self.methods, self.autocast)
            both |= {f"val_{name}": value for name, value in evaluated.items()}
        diverged = not all(map(math.isfinite, both.values()))
        if diverged:
            both |= {name: None for name in both if "loss" in name}
            if "val_acc" in both:
                both["val_acc"] = 0.0
        common = {name: both.pop(name, None) for name in ("train_loss", "train_acc", "val_loss", "val_acc")}
        seconds = time.perf_counter() - start
        return EpochResult(self.epoch, **common, lr=lr, seconds=seconds, diverged=diverged, figures=both)

    def train(self) -> tuple[dict[str, float], float]:
        """Take an epoch's steps; return the means of its figures over the clips, and the last learning rate."""
        config, streams = self.config, self.streams()
        steps = math.ceil(len(self.data.train) / config.batch_size)
        means = Means()
        self.classifier.train()
        for step, indices in enumerate(batches(config.batch_size, self.order())):
            lr = learning_rate(config, (self.epoch - 1) * steps + step, steps)
            means.add(self.train_batch(indices, streams, lr))
        return means.read(), lr

    def train_batch(
        self, indices: list[int], streams: dict[Regularizer, np.random.Generator], lr: float
    ) -> dict[str, Tensor]:
        """Take one step on the training clips `indices`; return each clip's `loss`, `acc`, and other figures."""
        x, batch = self.inputs(indices, streams)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        passes: list[dict[str, Tensor]] = []  # a method may pass through the model more than once

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            size = self.part_of(len(batch))
            starts = range(0, len(batch), size)
            told = [self.add_gradients(x[at : at + size], batch.part(at, at + size), len(batch)) for at in starts]
            if self.config.clip_grad > 0.0:
                nn.utils.clip_grad_norm_(self.classifier.parameters(), self.config.clip_grad)
            losses, figures = zip(*told, strict=True)
            passes.append({name: torch.cat([part[name] for part in figures]) for name in figures[0]})
            return sum(losses)

        self.optimizer.step(closure)
        for method in self.methods:
            method.after_step(self.classifier)
        return passes[0]

    def inputs(self, indices: list[int], streams: dict[Regularizer, np.random.Generator]) -> tuple[Tensor, Batch]:
        """Return what the model sees of the training clips `indices`, [B, C, T], and what is to be learned of them."""
        batch = self.data.train.batch(indices, self.device)
        for method, rng in streams.items():
            batch = method.on_batch(batch, rng)
        x = self.classifier.inputs(batch)
        for method, rng in streams.items():
            x = method.on_features(x, rng)
        return x, batch

    def parts(self) -> Iterator[Tensor]:
        """Yield what the model saw in this epoch, [B, C, T], as many clips as it computed at once."""
        streams = self.streams()
        for indices in batches(self.config.batch_size, self.order()):
            x, _ = self.inputs(indices, streams)
            yield from x.split(self.part_of(len(x)))

    def add_gradients(self, x: Tensor, batch: Batch, size: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Add the gradients of some of a step's `size` clips; return their share of its loss, and each clip's figures.

        Args:
            x: their features [B, C, T].
            batch: what is to be learned of them.
        """
        with self.autocast():
            frames = self.classifier.model.frames(x)
            logits = self.classifier.model.classify(frames).float()
            tasks = auxiliaries(self.methods, self.classifier, frames, batch)
        losses = F.cross_entropy(logits, batch.targets, reduction="none")
        loss = (losses.mean() + sum(task.loss for task in tasks)) * (len(batch) / size)
        loss.backward()
        right = logits.detach().argmax(1) == batch.targets.argmax(1)
        return loss.detach(), {"loss": losses.detach(), "acc": right, **figures_of(tasks)}

    def evaluated(self) -> nn.Module:
        """Return the classifier to evaluate and to predict with."""
        classifier: nn.Module = self.classifier
        for method in self.methods:
            classifier = method.evaluated(classifier)
        return classifier

    def save(self, path: Path, result: EpochResult) -> None:
        save_checkpoint(
            path,
            {
                "config": self.config.to_flat(),
                "about": self.about,
                "result": asdict(result),
                "classifier": self.classifier.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "methods": {method.name: method.state_dict() for method in self.methods},
            },
        )

    def predict(self, clips: Clips) -> Tensor:
        """Return the logits [N, K] of the clips in their order, on the CPU."""
        told = outputs(self.evaluated(), clips, self.device, self.size, self.methods, self.autocast)
        return torch.cat([logits.cpu() for _, logits, _ in told])

    def load(self, path: Path) -> EpochResult:
        """Take up where a checkpoint was written; return the result of its epoch."""
        state = load_checkpoint(path, self.device)
        self.classifier.load_state_dict(state["classifier"])
        self.optimizer.load_state_dict(state["optimizer"])
        for method in self.methods:
            method.load_state_dict(state["methods"][method.name])
        self.epoch = state["result"]["epoch"]
        return EpochResult(**state["result"])
