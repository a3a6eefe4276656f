"""The causal ConvNeXt: the original study's, in plain functions, and that no frame sees a later one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from esc50tune.config import TrialConfig
from esc50tune.data.clips import ClipsInMemory, TrialData
from esc50tune.models.causal import CausalConvNeXt
from esc50tune.regularizers.drop_path import DropPathLayer
from esc50tune.seeds import stream
from esc50tune.trial import Trainer

F = torch.nn.functional

STUDY = {
    "model": "causal",
    "feature": "encodec",
    "sample_rate": 24_000,
    "causal_blocks": 8,
    "causal_kernel": 49,
    "causal_norm": "group",
    "causal_pool": "last",
    "label_smoothing": 0.1,
    "code_lm": 1.0,
    "code_smoothing": 0.1,
    "precision": "fp32",
}
OURS = {"causal_norm": "frame", "causal_pool": "mean"}


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@torch.no_grad()
def shaken(model: CausalConvNeXt) -> CausalConvNeXt:
    """Move every parameter: a norm's weights of 1 and biases of 0 would hide what they do."""
    for parameter in model.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def test_it_has_the_studys_parameters():
    with torch.device("meta"):
        assert parameter_count(CausalConvNeXt(128, 50, num_codebooks=2)) == 1_377_586
        for knobs in ({}, OURS):
            config = TrialConfig.from_flat(STUDY | knobs)
            assert parameter_count(CausalConvNeXt.from_config(config, 128, 50)) == 1_377_586


@pytest.mark.parametrize(("bandwidth", "books"), [(1.5, 2), (3.0, 4), (6.0, 8), (12.0, 16), (24.0, 32)])
def test_it_predicts_as_many_codebooks_as_the_bandwidth_has_and_none_without_the_task(bandwidth, books):
    with torch.device("meta"):
        config = TrialConfig.from_flat(STUDY | {"encodec_bandwidth": bandwidth})
        model = CausalConvNeXt.from_config(config, 128, 50)
        assert model.code_logits(model.frames(torch.empty(3, 128, 7))).shape == (3, 7, books, 1024)
        plain = TrialConfig.from_flat(STUDY | {"encodec_bandwidth": bandwidth, "code_lm": 0.0})
        alone = CausalConvNeXt.from_config(plain, 128, 50)
        assert alone.code_head is None
        assert parameter_count(model) - parameter_count(alone) == 1024 * books * 129


# The study's model


def reference(
    w: dict[str, Tensor], x: Tensor, norm: str = "group", pool: str = "last", blocks: int = 8
) -> tuple[Tensor, Tensor, Tensor]:
    """Return frames [B, C, T + 1], class logits [B, K], and code logits [B, T, N, 1024]."""
    x = F.pad(x, (1, 0))
    for i in range(1, blocks + 1):
        name = f"trunk.{i}.branch"
        kernel = w[f"{name}.1.weight"].shape[2]
        y = F.conv1d(F.pad(x, (kernel - 1, 0)), w[f"{name}.1.weight"], w[f"{name}.1.bias"], groups=x.shape[1])
        gain, bias = w[f"{name}.2.weight"], w[f"{name}.2.bias"]
        if norm == "group":
            y = F.group_norm(y, 1, gain, bias, 1e-5)
        else:
            centred = y - y.mean(1, keepdim=True)
            y = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt() * gain[:, None] + bias[:, None]
        y = F.conv1d(F.gelu(F.conv1d(y, w[f"{name}.3.weight"], w[f"{name}.3.bias"])), w[f"{name}.5.weight"])
        x = x + y + w[f"{name}.5.bias"][:, None]
    seen = x[:, :, x.shape[2] - 1] if pool == "last" else x[:, :, 1:].sum(2) / (x.shape[2] - 1)
    logits = F.linear(seen, w["head.weight"], w["head.bias"])
    codes = F.conv1d(x[:, :, : x.shape[2] - 1], w["code_head.weight"], w["code_head.bias"])
    return x, logits, codes.permute(0, 2, 1).reshape(len(x), x.shape[2] - 1, -1, 1024)


def reference_loss(logits: Tensor, code_logits: Tensor, labels: Tensor, codes: Tensor) -> Tensor:
    """The study's: frame t (of T, 0 first) of the code logits has seen the frames before t, and is to tell t's code."""
    loss = F.cross_entropy(logits, labels, label_smoothing=0.1)
    for book in range(codes.shape[1]):
        loss = loss + F.cross_entropy(
            code_logits[:, :, book].flatten(0, 1), codes[:, book].flatten(), label_smoothing=0.1
        )
    return loss


def leaves(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}


def clips(size: int, frames: int, books: int = 2) -> ClipsInMemory:
    torch.manual_seed(1)
    codes = torch.randint(1024, (size, books, frames))
    return ClipsInMemory(torch.randn(size, 128, frames, dtype=torch.double), torch.randint(50, (size,)), 50, codes)


@pytest.mark.parametrize(("norm", "pool"), [("group", "last"), ("frame", "mean")], ids=["study", "ours"])
@torch.no_grad()
def test_frames_and_logits_are_the_studys_at_full_size(norm, pool):
    torch.manual_seed(0)
    model = shaken(CausalConvNeXt(128, 50, 8, 49, norm, pool, 2)).double()
    x = torch.randn(2, 128, 375, dtype=torch.double)
    frames, logits, code_logits = reference(model.state_dict(), x, norm, pool)
    assert frames.shape == (2, 128, 376)
    torch.testing.assert_close(model.frames(x), frames, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(model(x), logits, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(model.code_logits(model.frames(x)), code_logits, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("knobs", [{}, OURS], ids=["study", "ours"])
def test_a_steps_losses_and_gradients_are_the_studys_at_full_size(knobs, monkeypatch):
    monkeypatch.setattr(Tensor, "float", Tensor.double)  # so that nothing is rounded on the way
    data = clips(2, 375)
    config = TrialConfig.from_flat(STUDY | knobs)
    trainer = Trainer(config, TrialData(data, data), torch.device("cpu"))
    trainer.classifier.double()
    model = shaken(trainer.classifier.model)
    weights = leaves(model)
    told = trainer.train_batch([0, 1], {method: stream(0, method.name) for method in trainer.methods}, lr=1e-4)
    _, logits, code_logits = reference(weights, data.held, config.causal_norm, config.causal_pool)
    loss = reference_loss(logits, code_logits, data.labels, data.held_codes)
    loss.backward()
    assert (told["loss"] + told["loss_codes"]).mean().item() == pytest.approx(loss.item(), rel=1e-9)
    right = (code_logits.argmax(3).transpose(1, 2) == data.held_codes).float().mean((1, 2))
    assert told["acc_codes"].tolist() == pytest.approx(right.tolist())
    for name, p in model.named_parameters():
        gradient = weights[name].grad
        assert gradient.any(), name
        assert (p.grad - gradient).abs().max() < 1e-9 * gradient.abs().max(), name


@torch.no_grad()
def test_more_codebooks_and_other_sizes_are_the_studys_too():
    torch.manual_seed(0)
    model = shaken(CausalConvNeXt(6, 5, 3, 4, "group", "last", 3)).double()
    x = torch.randn(2, 6, 11, dtype=torch.double)
    frames, logits, code_logits = reference(model.state_dict(), x, blocks=3)
    torch.testing.assert_close(model.frames(x), frames)
    torch.testing.assert_close(model(x), logits)
    torch.testing.assert_close(model.code_logits(frames), code_logits)


# Causality


@pytest.mark.parametrize("changed", [0, 1, 7, 13, 19])
@torch.no_grad()
def test_a_norm_of_each_frame_keeps_the_future_out(changed):
    torch.manual_seed(0)
    model = shaken(CausalConvNeXt(16, 5, 4, 7, "frame", "mean", 2))
    before = torch.randn(3, 16, 20)
    after = before.clone()
    after[:, :, changed:] = torch.randn(3, 16, 20 - changed)
    first, second = model.frames(before), model.frames(after)
    assert first.shape == (3, 16, 21)
    torch.testing.assert_close(second[:, :, : changed + 1], first[:, :, : changed + 1], rtol=0, atol=1e-6)
    assert ((second - first)[:, :, changed + 1].abs().amax(1) > 1e-2).all()
    codes, other_codes = model.code_logits(first), model.code_logits(second)
    torch.testing.assert_close(other_codes[:, : changed + 1], codes[:, : changed + 1], rtol=0, atol=1e-5)
    # Class logits may see all of it.
    assert (model.classify(first) != model.classify(second)).any(1).all()


@pytest.mark.parametrize("changed", [1, 7, 13, 19])
@torch.no_grad()
def test_group_norm_lets_the_future_leak_into_the_first_frame(changed):
    torch.manual_seed(0)
    model = shaken(CausalConvNeXt(16, 5, 4, 7, "group", "last", 2))
    before = torch.randn(3, 16, 20)
    after = before.clone()
    after[:, :, changed:] = 2 * torch.randn(3, 16, 20 - changed)
    moved = (model.frames(after) - model.frames(before))[:, :, 0]
    assert (moved.abs().amax(1) > 1e-3).all()


@pytest.mark.parametrize(("blocks", "kernel"), [(1, 1), (1, 5), (3, 4)])
@torch.no_grad()
def test_a_frame_hears_as_far_back_as_its_kernels_reach(blocks, kernel):
    torch.manual_seed(0)
    model = shaken(CausalConvNeXt(8, 5, blocks, kernel, "frame", "last"))
    x, reach = torch.randn(1, 8, 24), blocks * (kernel - 1) + 1
    for back in (reach, reach + 1):
        other = x.clone()
        other[:, :, 24 - back] += 1.0
        moved = (model.frames(other) - model.frames(x))[:, :, 24].abs().max().item()
        assert (moved > 1e-6) == (back == reach)


# What it is made of


@pytest.mark.parametrize(("blocks", "rates"), [(1, [0.3]), (2, [0.0, 0.3]), (4, [0.0, 0.1, 0.2, 0.3])])
def test_drop_path_grows_linearly_with_depth(blocks, rates):
    config = TrialConfig(model="causal", causal_blocks=blocks, drop_path=0.3)
    layers = [m for m in CausalConvNeXt.from_config(config, 8, 2).modules() if isinstance(m, DropPathLayer)]
    assert [layer.rate for layer in layers] == pytest.approx(rates)


def test_it_starts_as_torch_does():
    torch.manual_seed(0)
    for module in CausalConvNeXt(64, 50, 2, 9, num_codebooks=2).modules():
        if isinstance(module, nn.Conv1d | nn.Linear):
            bound = 1 / math.sqrt(module.weight[0].numel())
            assert 0.8 * bound < module.weight.abs().max() <= bound
            assert module.bias.any()


@pytest.mark.parametrize(("norm", "pool"), [("group", "last"), ("frame", "mean")])
@torch.no_grad()
def test_clips_of_a_batch_do_not_see_each_other(norm, pool):
    torch.manual_seed(0)
    model = shaken(CausalConvNeXt(16, 5, 2, 7, norm, pool, 2)).double()
    x = torch.randn(3, 16, 20, dtype=torch.double)
    torch.testing.assert_close(model(x)[1:2], model(x[1:2]))
    torch.testing.assert_close(model.code_logits(model.frames(x))[1:2], model.code_logits(model.frames(x[1:2])))
