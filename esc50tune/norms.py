"""Statistics of batch norms for weights that no training computed with, as Izmailov et al. 2018 (arXiv 1803.05407)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from esc50tune.classifier import Classifier
from esc50tune.data.clips import Clips, batches


@torch.no_grad()
def refit_norms(
    classifier: Classifier,
    clips: Clips,
    order: Sequence[int],
    device: torch.device,
    size: int,
    autocast: Callable[[], AbstractContextManager],
) -> None:
    """Give the classifier's batch norms the mean statistics of batches of `size` clips, taken in `order`.

    All other layers, dropout among them, work as at evaluation.
    """
    norms = [module for module in classifier.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    classifier.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all batches
        norm.train()
    for indices in batches(size, order):
        x = classifier.inputs(clips.batch(indices, device))
        with autocast():
            classifier.model(x)
