"""Training as this project does it, a step at a time."""

from __future__ import annotations

from typing import Literal

import torch

from bench.study import Case
from esc50tune.evaluation import evaluate
from esc50tune.seeds import stream
from esc50tune.trial import Trainer


class OurLoop:
    """A trainer of a case, in one precision."""

    def __init__(self, case: Case, device: torch.device, precision: Literal["fp32", "bf16"]) -> None:
        config = case.config.model_copy(update={"precision": precision})
        self.trainer = Trainer(config, case.data, device)
        self.streams = {method: stream(0, method.name) for method in self.trainer.methods}

    def step(self) -> None:
        trainer = self.trainer
        trainer.classifier.train()
        trainer.train_batch(list(range(trainer.config.batch_size)), self.streams, trainer.config.lr)

    def evaluate(self) -> float:
        """Return the share of the evaluated clips that are classified right."""
        trainer = self.trainer
        evaluated, val = trainer.evaluated(), trainer.data.val
        return evaluate(evaluated, val, trainer.device, trainer.size, trainer.methods, trainer.autocast)["acc"]
