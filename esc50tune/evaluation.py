"""Cross entropy and accuracy over a set of clips."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esc50tune.data.clips import ClipSet, batches
from esc50tune.regularizers import Regularizer


@torch.no_grad()
def evaluate(
    classifier: nn.Module,
    clips: ClipSet,
    device: torch.device,
    methods: Sequence[Regularizer] = (),
    autocast: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext,
) -> tuple[float, float]:
    """Return mean cross entropy (nats) and accuracy over all `clips`, each clip weighing the same."""
    classifier.eval()
    loss, correct = torch.zeros((), device=device), torch.zeros((), device=device)
    for indices in batches(64, range(len(clips))):
        targets, waves = clips.labels[indices].to(device), clips.waves(indices).to(device)
        for method in methods:
            waves = method.on_eval(waves)
        with autocast():
            logits = average_views(classifier(waves).float(), len(indices))
        loss += F.cross_entropy(logits, targets, reduction="sum")
        correct += (logits.argmax(1) == targets).sum()
    return loss.item() / len(clips), correct.item() / len(clips)


def average_views(logits: Tensor, size: int) -> Tensor:
    """Average each clip's probabilities over its views: logits [B * V, K] to log-probabilities [B, K]."""
    if len(logits) == size:
        return logits
    views = logits.log_softmax(-1).unflatten(0, (size, -1))  # the mean of softmaxes itself may round to 0
    return views.logsumexp(1) - math.log(views.shape[1])
