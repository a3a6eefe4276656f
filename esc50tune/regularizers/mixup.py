"""mixup (Zhang et al. 2018, arXiv 1710.09412), on waveforms."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel

from esc50tune.data.batch import Batch
from esc50tune.data.sending import send
from esc50tune.knobs import Search, knob
from esc50tune.regularizers.base import Regularizer


class Mixup(Regularizer):
    """Trains on r x_i + (1 - r) x_j with the targets mixed alike, r ~ Beta(alpha, alpha) for each clip.

    Beta is symmetric, so r is folded to 0.5..1: the distribution of mixtures is the paper's, and clip i stays the
    heavier one, which makes the training accuracy of mixed clips well defined.
    """

    name = "mixup"
    on = {"mixup": 0.4}

    class Knobs(BaseModel):
        mixup: float = knob(
            0.0,
            "alpha of mixup's Beta(alpha, alpha); 0 mixes nothing",
            source="paper: .2 to .4 on images; between-class learning mixes with U(0, 1), which is alpha 1",
            search=Search(0.1, 1.0),
            ge=0.0,
            le=10.0,
        )

    def on_batch(self, batch: Batch, rng: np.random.Generator) -> Batch:
        waves, targets, size, alpha = batch.waves, batch.targets, len(batch), self.config.mixup
        share = rng.beta(alpha, alpha, size)
        share = send(np.maximum(share, 1.0 - share), waves.device).to(waves.dtype)
        other = send(rng.permutation(size), waves.device)
        wave_share, target_share = share[:, None, None], share[:, None]
        mixed = wave_share * waves + (1.0 - wave_share) * waves[other]
        return batch.mixed(mixed, target_share * targets + (1.0 - target_share) * targets[other], other, share)
