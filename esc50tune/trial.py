"""One trial: a generator of epoch results. The sweep, the debug mode and the tests all run this one loop."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esc50tune.checkpoint import load_checkpoint, save_checkpoint
from esc50tune.classifier import Classifier
from esc50tune.config import TrialConfig
from esc50tune.data.clips import ClipSet, SearchData, batches
from esc50tune.evaluation import evaluate
from esc50tune.regularizers import Regularizer, active
from esc50tune.schedule import learning_rate
from esc50tune.seeds import derive_seed, stream


@dataclass(frozen=True)
class EpochResult:
    """What one epoch came to.

    Attributes:
        epoch: 1 for the first.
        train_loss: mean loss of the training batches as they were trained on (mixed, smoothed); None if not finite.
        train_acc: share of those clips classified right while training; of a mixed clip its heavier part counts.
        val_loss: plain cross entropy, mean over the validation clips, in nats; None if not finite.
        val_acc: share of the validation clips classified right, 0 to 1; 0 if the trial diverged.
        lr: learning rate of the last step.
        seconds: wall time of training and evaluating this epoch.
        diverged: the loss was not finite; this is the trial's last epoch.
    """

    epoch: int
    train_loss: float | None
    train_acc: float
    val_loss: float | None
    val_acc: float
    lr: float
    seconds: float
    diverged: bool


def train_trial(
    config: TrialConfig,
    data: SearchData,
    device: torch.device | None = None,
    checkpoint: Path | None = None,
) -> Iterator[EpochResult]:
    """Train from scratch, or from `checkpoint` where that file exists, and yield one result an epoch.

    A trial's score is `val_acc` of the last epoch of its full schedule: no epoch is ever picked.

    Args:
        config: the trial's knobs.
        data: the clips it may see.
        device: where to train; the first GPU if there is one, else the CPU.
        checkpoint: written whole after each epoch, before its result is yielded; None keeps nothing.
    """
    trainer = Trainer(config, data, device or default_device())
    if checkpoint is not None and checkpoint.exists():
        trainer.load(checkpoint)
    while trainer.epoch < config.epochs:
        result = trainer.run_epoch()
        if checkpoint is not None and not result.diverged:
            trainer.save(checkpoint, result)
        yield result
        if result.diverged:
            return


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Trainer:
    """A classifier, its optimizer and its data, one epoch at a time."""

    def __init__(self, config: TrialConfig, data: SearchData, device: torch.device) -> None:
        self.config, self.data, self.device = config, data, device
        self.epoch = 0
        self.methods = active(config)
        torch.manual_seed(derive_seed(config.seed, "weights"))
        self.classifier = Classifier(config, data.num_classes).to(device)
        self.classifier.feature.fit(self.waves(data.train, part) for part in batches(64, range(len(data.train))))
        groups = [{"params": list(self.classifier.parameters())}]
        for method in self.methods:
            groups = method.parameter_groups(self.classifier, groups)
        self.optimizer: Any = torch.optim.AdamW(groups, config.lr, weight_decay=0.0, fused=device.type == "cuda")
        for method in self.methods:
            self.optimizer = method.wrap_optimizer(self.optimizer)
            method.start(self.classifier)

    def waves(self, clips: ClipSet, indices: list[int]) -> Tensor:
        return clips.waves(indices).to(self.device)

    def autocast(self) -> contextlib.AbstractContextManager:
        chosen = self.config.precision
        wanted = chosen == "bf16" or (chosen == "auto" and self.device.type == "cuda")
        return torch.autocast(self.device.type, torch.bfloat16) if wanted else contextlib.nullcontext()

    def run_epoch(self) -> EpochResult:
        """Train on every clip once in a seeded order, then evaluate."""
        start = time.perf_counter()
        self.epoch += 1
        # Streams that start anew each epoch make a resumed trial equal to an uninterrupted one.
        torch.manual_seed(derive_seed(self.config.seed, "layers", self.epoch))
        train_loss, train_acc, lr = self.train()
        val_loss, val_acc = evaluate(self.evaluated(), self.data.val, self.device, self.methods, self.autocast)
        diverged = not (math.isfinite(train_loss) and math.isfinite(val_loss))
        return EpochResult(
            epoch=self.epoch,
            train_loss=None if diverged else train_loss,
            train_acc=train_acc,
            val_loss=None if diverged else val_loss,
            val_acc=0.0 if diverged else val_acc,
            lr=lr,
            seconds=time.perf_counter() - start,
            diverged=diverged,
        )

    def train(self) -> tuple[float, float, float]:
        """Take an epoch's steps; return mean loss, accuracy, and the last step's learning rate."""
        config, clips = self.config, self.data.train
        order = stream(config.seed, "order", self.epoch).permutation(len(clips)).tolist()
        streams = {method: stream(config.seed, method.name, self.epoch) for method in self.methods}
        steps = math.ceil(len(clips) / config.batch_size)
        loss_sum, correct = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        self.classifier.train()
        for step, indices in enumerate(batches(config.batch_size, order)):
            lr = learning_rate(config, (self.epoch - 1) * steps + step, steps)
            loss, hits = self.train_batch(indices, streams, lr)
            loss_sum += loss * len(indices)
            correct += hits
        return loss_sum.item() / len(clips), correct.item() / len(clips), lr

    def train_batch(
        self, indices: list[int], streams: dict[Regularizer, np.random.Generator], lr: float
    ) -> tuple[Tensor, Tensor]:
        """Take one step on the training clips `indices`; return its mean loss and how many were right."""
        waves = self.waves(self.data.train, indices)
        targets = F.one_hot(self.data.train.labels[indices].to(self.device), self.data.num_classes).float()
        for method, rng in streams.items():
            waves, targets = method.on_batch(waves, targets, rng)
        x = self.classifier.feature(waves)
        for method, rng in streams.items():
            x = method.on_features(x, rng)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        passes: list[tuple[Tensor, Tensor]] = []  # loss and logits; a method may pass through the model more than once

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            with self.autocast():
                logits = self.classifier.model(x)
            loss = F.cross_entropy(logits.float(), targets)
            loss.backward()
            if self.config.clip_grad > 0.0:
                nn.utils.clip_grad_norm_(self.classifier.parameters(), self.config.clip_grad)
            passes.append((loss.detach(), logits.detach()))
            return loss

        self.optimizer.step(closure)
        for method in self.methods:
            method.after_step(self.classifier)
        loss, logits = passes[0]
        return loss, (logits.argmax(1) == targets.argmax(1)).sum()

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
                "result": asdict(result),
                "classifier": self.classifier.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "methods": {method.name: method.state_dict() for method in self.methods},
            },
        )

    def load(self, path: Path) -> None:
        state = load_checkpoint(path, self.device)
        self.classifier.load_state_dict(state["classifier"])
        self.optimizer.load_state_dict(state["optimizer"])
        for method in self.methods:
            method.load_state_dict(state["methods"][method.name])
        self.epoch = state["result"]["epoch"]
