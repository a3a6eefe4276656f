"""A trial comes to the same, to rounding, with each speed-up and without it."""

from __future__ import annotations

import pytest
import torch

from esc50tune.config import TrialConfig
from esc50tune.data.clips import TrialData
from esc50tune.speedups import SPEEDUPS, is_on, without
from esc50tune.trial import EpochResult, Trainer
from tests.conftest import SMALL

SEED = {"convnext_form": "seed", "convnext_kernel": 49, "convnext_width": 16}
MODELS = {
    "seed": SMALL | SEED | {"dropout": 0.1, "channel_dropout": 0.1},
    "published": SMALL | {"convnext_kernel": 49, "convnext_width": 32, "drop_path": 0.1},
    "hifigan": SMALL | {"model": "hifigan"},
    "causal": {
        "model": "causal",
        "feature": "encodec",
        "sample_rate": 24_000,
        "causal_blocks": 2,
        "code_lm": 1.0,
        "dropout": 0.1,
        "sam_rho": 0.05,
    },
}


def epoch(name: str, data: TrialData, off: tuple[str, ...]) -> tuple[EpochResult, list[torch.Tensor]]:
    """Return an epoch's result, and the weights after it."""
    with without(*off):
        trainer = Trainer(TrialConfig.from_flat(MODELS[name] | {"lr": 1e-3}), data, torch.device("cpu"))
        return trainer.run_epoch(), list(trainer.classifier.parameters())


@pytest.mark.parametrize("off", [*((name,) for name in SPEEDUPS), SPEEDUPS], ids="+".join)
@pytest.mark.parametrize("model", MODELS)
def test_an_epoch_comes_to_the_same_with_and_without(model, off, tones_data, latents):
    data = latents if model == "causal" else tones_data
    (fast, weights), (plain, plain_weights) = epoch(model, data, ()), epoch(model, data, off)
    assert fast.train_loss == pytest.approx(plain.train_loss, rel=1e-5)
    assert fast.val_loss == pytest.approx(plain.val_loss, rel=1e-4)
    assert (fast.train_acc, fast.val_acc) == (plain.train_acc, plain.val_acc)
    for a, b in zip(weights, plain_weights, strict=True):
        assert (a - b).abs().mean() < 1e-5  # a step moves each weight by up to 1e-3


def test_the_switch_is_thrown_back_even_after_an_error():
    def off() -> list[str]:
        return [name for name in SPEEDUPS if not is_on(name)]

    assert off() == []
    with pytest.raises(KeyError), without("depthwise"):
        assert off() == ["depthwise"]
        with without("pointwise"):
            assert off() == ["depthwise", "pointwise"]
        assert off() == ["depthwise"]
        raise KeyError
    assert off() == []


def test_there_is_no_switch_for_what_is_no_speed_up():
    with pytest.raises(ValueError, match="fft"), without("fft"):
        pass
