"""The plain side of the benchmark learns the same function as this project does: else their times say nothing."""

from __future__ import annotations

import pytest
import torch

from bench.our_loop import OurLoop
from bench.plain_loop import PlainLoop
from bench.study import CLASSES, MODELS, study_case, study_config
from esc50tune.classifier import count_parameters

CPU = torch.device("cpu")
TINY = {
    "clip_seconds": 0.4,
    "batch_size": 3,
    "hifigan_channels": 4,
    "convnext_width": 4,
    "causal_blocks": 2,
    "dropout": 0.0,
    "channel_dropout": 0.0,
}


@pytest.fixture(params=MODELS)
def loops(request):
    """Both sides of a small case, with the same weights, and in each its model alone."""
    with study_case(request.param, CPU, **TINY) as case:
        plain, ours = PlainLoop(case, CPU), OurLoop(case, CPU, "fp32")
        with torch.no_grad():
            for a, b in zip(plain.model.parameters(), ours.trainer.classifier.model.parameters(), strict=True):
                a.copy_(b.view_as(a))
        yield case, plain, ours


def test_equal_weights_give_equal_logits(loops):
    case, plain, ours = loops
    model, x = ours.trainer.classifier.model.eval(), next(iter(plain.val))[0]
    torch.testing.assert_close(case.data.val.waves(range(3)), x, rtol=0, atol=1e-4)  # as the cache rounds it
    frames = model.frames(x)
    logits, *codes = plain.model.eval()(x)
    assert logits.shape == (3, CLASSES)
    assert logits.std() > 0
    torch.testing.assert_close(model.classify(frames), logits, rtol=1e-4, atol=1e-5)
    assert bool(codes) == (case.config.model == "causal")
    for told in codes:
        torch.testing.assert_close(model.code_logits(frames).permute(0, 3, 2, 1), told, rtol=1e-4, atol=1e-5)


def test_a_step_moves_equal_weights_alike(loops):
    _, plain, ours = loops
    before = [p.detach().clone() for p in plain.model.parameters()]
    plain.step()
    ours.step()
    moved = [a - b for a, b in zip(plain.model.parameters(), before, strict=True)]
    for a, b, c in zip(moved, ours.trainer.classifier.model.parameters(), before, strict=True):
        assert a.abs().max() > 1e-5  # the learning rate is 1e-4
        # AdamW's first step is the gradient's sign: it turns where a gradient is 0 but for rounding.
        assert ((b.view_as(c) - c - a).abs() < 2e-6).float().mean() > 0.95
    assert plain.evaluate() == pytest.approx(ours.evaluate())


def test_the_models_are_the_studys():
    found = {name: count_parameters(study_config(name, CPU), CLASSES) for name in MODELS}
    assert list(found.values()) == [10_024_932, 36_595_186, 33_218_354, 1_377_586]
    for name in MODELS:
        config = study_config(name, torch.device("cuda"))
        assert config.batch_size == (16 if config.feature == "raw" else 64)
        assert (config.lr, config.label_smoothing, config.weight_decay_norms) == (1e-4, 0.1, True)
        assert (config.sam_rho > 0) == (name == "causal-lm")
