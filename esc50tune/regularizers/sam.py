"""Sharpness-aware minimization: SAM (Foret et al., arXiv 2010.01412) and ASAM (Kwon et al., arXiv 2102.11600)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from esc50tune.knobs import Search, knob
from esc50tune.regularizers.base import Regularizer

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig


class SAMOptimizer:
    """Wraps any torch optimizer: takes the gradient at w + e(w) and steps from w with it.

    e(w) = rho * g / ||g||, the norm over all parameters together. Adaptive (ASAM, without its small constant):
    e(w) = rho * w^2 g / || |w| g ||, which does not change when weights are rescaled.

    Args:
        base: the optimizer that takes the step.
        rho: radius of the neighbourhood.
        adaptive: ASAM instead of SAM.
        same_masks: draw the same dropout masks in both passes, so that both gradients belong to the same subnetwork.
        norms: the model's norms with running statistics; these take in the first pass alone.
    """

    def __init__(
        self,
        base: torch.optim.Optimizer,
        rho: float,
        adaptive: bool = False,
        same_masks: bool = True,
        norms: Sequence[nn.Module] = (),
    ) -> None:
        self.base, self.rho, self.adaptive, self.same_masks, self.norms = base, rho, adaptive, same_masks, norms

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self.base.param_groups

    def zero_grad(self) -> None:
        self.base.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Return the base optimizer's state; SAM has none of its own."""
        return self.base.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.base.load_state_dict(state)

    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        """Take one step. `closure` clears the gradients, computes the loss and its gradients, and is called twice.

        Returns:
            The loss at w, the first of the two.
        """
        devices = sorted({p.device.index for g in self.param_groups for p in g["params"] if p.is_cuda})
        with torch.random.fork_rng(devices, enabled=self.same_masks):
            loss = closure()
        parameters = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        before = [p.detach().clone() for p in parameters]
        self.climb(parameters)
        with statistics_kept(self.norms):
            closure()
        with torch.no_grad():
            torch._foreach_copy_(parameters, before)  # copied back, since adding and subtracting would round
        self.base.step()
        return loss

    @torch.no_grad()
    def climb(self, parameters: list[Tensor]) -> None:
        """Move the parameters from w to w + e(w)."""
        gradients = [p.grad for p in parameters]
        weighted = [p.abs() * g for p, g in zip(parameters, gradients, strict=True)] if self.adaptive else gradients
        scale = self.rho / (torch.linalg.vector_norm(torch.stack([w.norm() for w in weighted])) + 1e-12)
        for p, w in zip(parameters, weighted, strict=True):
            p.add_(p.abs() * w * scale if self.adaptive else w * scale)


@contextmanager
def statistics_kept(norms: Sequence[nn.Module]) -> Iterator[None]:
    """Let norms over the batch not take in, meanwhile, what they see: it is of weights that are not kept."""
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


class SAM(Regularizer):
    """Minimises the loss at the worst point of a small neighbourhood, at twice the cost a step.

    The neighbourhood is that of the parameters as they are stored: of a weight-normed layer, directions and magnitudes.
    """

    name = "sam"
    on = {"sam_rho": 0.05}

    class Knobs(BaseModel):
        sam_rho: float = knob(
            0.0,
            "radius of SAM's neighbourhood; 0 takes plain steps",
            source="SAM and the original study .05, SAM's paper tries .01 to .5; ASAM about ten times as much",
            search=Search(0.01, 0.5, log=True),
            ge=0.0,
            le=100.0,
        )
        sam_adaptive: bool = knob(
            False, "ASAM: the neighbourhood follows each weight's size", source="arXiv 2102.11600"
        )
        sam_masks: Literal["same", "different"] = knob(
            "same", "dropout masks of SAM's two passes", source="different in the original study, undecided there"
        )

    @classmethod
    def is_on(cls, config: TrialConfig) -> bool:
        return config.sam_rho > 0.0

    def wrap_optimizer(self, optimizer: torch.optim.Optimizer, classifier: nn.Module) -> SAMOptimizer:
        config = self.config
        norms = [module for module in classifier.modules() if getattr(module, "track_running_stats", False)]
        return SAMOptimizer(optimizer, config.sam_rho, config.sam_adaptive, config.sam_masks == "same", norms)
