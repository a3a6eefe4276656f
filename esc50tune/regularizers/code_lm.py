"""A language-model task on EnCodec's codes beside the classification: the original study's self-supervision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from pydantic import BaseModel
from torch import Tensor

from esc50tune.data.batch import Batch
from esc50tune.knobs import Search, knob
from esc50tune.regularizers.base import Auxiliary, Regularizer

if TYPE_CHECKING:
    from esc50tune.config import TrialConfig
    from esc50tune.models.causal import CausalConvNeXt


class CodeLM(Regularizer):
    """Predicts every codebook's code of the next frame from the frames before it.

    Adds code_lm times the sum over the codebooks of their cross entropies. Of mixed clips it predicts the codes of
    each, weighted by its share; shifts and crops move the codes along; masked frames are predicted as they were.
    """

    name = "code-lm"
    on = {"code_lm": 1.0}

    class Knobs(BaseModel):
        code_lm: float = knob(
            0.0,
            "weight of the loss of predicting the next frame's codes; causal ConvNeXt on EnCodec features only",
            source="seed 1; searched range: 30 times less to 3 times more, our choice",
            search=Search(0.03, 3.0, log=True),
            ge=0.0,
            le=100.0,
        )
        code_smoothing: float = knob(
            0.0, "label smoothing of the codes", source="seed .1, with 1,024 codes to spread it over", ge=0.0, lt=1.0
        )

    @classmethod
    def is_on(cls, config: TrialConfig) -> bool:
        return config.code_lm > 0.0

    @classmethod
    def check(cls, config: TrialConfig) -> None:
        weight = f"code_lm ({config.code_lm:g})"
        if config.code_lm and config.feature != "encodec":
            raise ValueError(
                f"{weight} predicts EnCodec's codes, so it needs feature 'encodec', not '{config.feature}'"
            )
        if config.code_lm and config.model != "causal":
            raise ValueError(f"{weight} needs a model that does not see the future, 'causal', not '{config.model}'")

    def auxiliary(self, model: CausalConvNeXt, frames: Tensor, batch: Batch) -> Auxiliary:
        """Return the task's weighted loss; its figures are the unweighted loss (nats) and the share of right codes."""
        logits = model.code_logits(frames).float()
        smoothing = self.config.code_smoothing if model.training else 0.0
        parts = batch.codes.transpose(2, 3)  # [B, P, T, N]
        losses = torch.stack([code_losses(logits, codes, smoothing) for codes in parts.unbind(1)], dim=1)
        loss = (batch.shares * losses).sum(1)
        right = logits.detach().argmax(-1) == parts[:, 0]  # of a mixed clip its heavier part counts
        figures = {"loss_codes": loss.detach(), "acc_codes": right.float().mean((1, 2))}
        return Auxiliary(self.config.code_lm * loss.mean(), figures)


def code_losses(logits: Tensor, codes: Tensor, smoothing: float) -> Tensor:
    """Return each clip's loss [B]: mean over the frames, sum over the codebooks.

    Args:
        logits: [B, T, N, 1024]; rows of codes, along which the softmax is fastest.
        codes: int64 [B, T, N].
        smoothing: share of a target's probability that is spread over all codes.
    """
    losses = F.cross_entropy(logits.flatten(0, 2), codes.flatten(), reduction="none", label_smoothing=smoothing)
    return losses.view(codes.shape).mean(1).sum(-1)
