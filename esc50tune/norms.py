"""Statistics of batch norms for weights that no training computed with, as Izmailov et al. 2018 (arXiv 1803.05407)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from esc50tune.evaluation import Autocast


@torch.no_grad()
def refit_norms(model: nn.Module, batches: Iterable[Tensor], autocast: Autocast) -> None:
    """Give a model's batch norms the mean statistics of training batches [B, C, T]; without norms, read none."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    model.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all batches
    for x in batches:
        with autocast():
            model(x)
