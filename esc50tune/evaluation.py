"""Cross entropy and accuracy over a set of clips."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from esc50tune.classifier import Classifier
from esc50tune.data.batch import Batch
from esc50tune.data.clips import Clips, batches
from esc50tune.regularizers.base import Auxiliary, Regularizer

Autocast = Callable[[], contextlib.AbstractContextManager]


class Means:
    """Means over clips of figures that come a batch at a time; read once, so that a GPU is not waited for."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.sizes: Counter[str] = Counter()

    def add(self, figures: dict[str, Tensor]) -> None:
        """Take up each figure's values for the clips of a batch, [B]."""
        for name, values in figures.items():
            self.sums[name] = self.sums.get(name, 0.0) + values.double().sum()
            self.sizes[name] += len(values)

    def read(self) -> dict[str, float]:
        return {name: total.item() / self.sizes[name] for name, total in self.sums.items()}


def evaluate(
    classifier: Classifier,
    clips: Clips,
    device: torch.device,
    size: int,
    methods: Sequence[Regularizer] = (),
    autocast: Autocast = contextlib.nullcontext,
) -> dict[str, float]:
    """Return means over all `clips`: `loss` (plain cross entropy, nats), `acc`, and the figures of auxiliary tasks.

    The other arguments are those of `outputs`.
    """
    means = Means()
    for indices, logits, tasks in outputs(classifier, clips, device, size, methods, autocast):
        labels = clips.labels[clips.places(indices)].to(device)
        losses, right = F.cross_entropy(logits, labels, reduction="none"), logits.argmax(1) == labels
        means.add({"loss": losses, "acc": right, **figures_of(tasks)})
    return means.read()


@torch.no_grad()
def outputs(
    classifier: Classifier,
    clips: Clips,
    device: torch.device,
    size: int,
    methods: Sequence[Regularizer] = (),
    autocast: Autocast = contextlib.nullcontext,
) -> Iterator[tuple[list[int], Tensor, list[Auxiliary]]]:
    """Yield indices, logits [B, K] and auxiliary tasks of the clips, a batch at a time and in their order.

    Args:
        classifier: what hears them.
        clips: the clips.
        device: where it computes.
        size: clips, or views of clips, that it may take at once; it takes the views of one clip at least.
        methods: the trial's methods.
        autocast: gives the context in which the model computes.
    """
    classifier.eval()
    views = math.prod(method.views for method in methods)
    for indices in batches(max(1, size // views), range(len(clips))):
        batch = clips.batch(indices, device)
        for method in methods:
            batch = method.on_eval(batch)
        x = classifier.inputs(batch)
        with autocast():
            frames = classifier.model.frames(x)
            logits = average_views(classifier.model.classify(frames).float(), len(indices))
            tasks = auxiliaries(methods, classifier, frames, batch)
        yield indices, logits, tasks


def auxiliaries(
    methods: Sequence[Regularizer], classifier: Classifier, frames: Tensor, batch: Batch
) -> list[Auxiliary]:
    """Return the tasks that `methods` add to the classification."""
    tasks = (method.auxiliary(classifier.model, frames, batch) for method in methods)
    return [task for task in tasks if task is not None]


def figures_of(tasks: Sequence[Auxiliary]) -> dict[str, Tensor]:
    return {name: value for task in tasks for name, value in task.figures.items()}


def average_views(logits: Tensor, size: int) -> Tensor:
    """Average each clip's probabilities over its views: logits [B * V, K] to log-probabilities [B, K]."""
    if logits.shape[0] == size:  # len() would fix the size of a batch in an exported model
        return logits
    views = logits.log_softmax(-1).unflatten(0, (size, -1))  # the mean of softmaxes itself may round to 0
    return views.logsumexp(1) - math.log(views.shape[1])
