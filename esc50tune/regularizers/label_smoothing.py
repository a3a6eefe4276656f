"""Label smoothing (Szegedy et al. 2016, arXiv 1512.00567, section 7)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import BaseModel

from esc50tune.data.batch import Batch
from esc50tune.knobs import Search, knob
from esc50tune.regularizers.base import Regularizer


class LabelSmoothing(Regularizer):
    """Moves a share of each target's probability evenly to all classes; evaluation never sees it."""

    name = "label-smoothing"
    on = {"label_smoothing": 0.1}
    only_targets = True

    class Knobs(BaseModel):
        label_smoothing: float = knob(
            0.0,
            "share of a target's probability that is spread evenly over all classes",
            source="default when on: .1 of the paper and of the original study; searched range about it: our choice",
            search=Search(0.02, 0.3),
            ge=0.0,
            lt=1.0,
        )

    def on_batch(self, batch: Batch, rng: np.random.Generator) -> Batch:
        share = self.config.label_smoothing
        return replace(batch, targets=batch.targets * (1.0 - share) + share / batch.targets.shape[1])
