"""SAM and ASAM: the papers' steps, in numbers worked by hand, in an independent loop, and inside a trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from esc50tune.checkpoint import load_checkpoint
from esc50tune.config import TrialConfig
from esc50tune.errors import UserError
from esc50tune.regularizers import REGULARIZERS
from esc50tune.regularizers.sam import SAMOptimizer
from esc50tune.seeds import stream
from esc50tune.trial import Trainer, train_trial
from tests.conftest import watch

F = torch.nn.functional

CPU = torch.device("cpu")
ALL_OFF = {name: 0.0 for method in REGULARIZERS for name in method.on}
adaptive_or_not = pytest.mark.parametrize("adaptive", [False, True], ids=["sam", "asam"])


# The step alone


@pytest.mark.parametrize(
    ("adaptive", "start", "curvature", "climbed", "end"),
    [
        # g = (3, 4), of norm 5; e = 0.5 g / 5 = (0.3, 0.4); the gradient there is (1.5 * 2.3, 4 * 1.4) = (3.45, 5.6).
        (False, (2.0, 1.0), (1.5, 4.0), (2.3, 1.4), (1.655, 0.44)),
        # |w| g = (-3, 4), of norm 5; e = 0.5 w^2 g / 5 = (-0.6, 0.4); the gradient there is (0.75 * -2.6, 4 * 1.4).
        (True, (-2.0, 1.0), (0.75, 4.0), (-2.6, 1.4), (-1.805, 0.44)),
    ],
    ids=["sam", "asam"],
)
def test_a_step_on_a_quadratic_is_the_one_worked_by_hand(adaptive, start, curvature, climbed, end):
    # (a x^2 + b y^2) / 2; x and y in groups of their own, since the norm goes over all of them together.
    x, y = (nn.Parameter(torch.tensor(value, dtype=torch.float64)) for value in start)
    base = torch.optim.SGD([{"params": [x]}, {"params": [y]}], lr=0.1)
    optimizer, seen = SAMOptimizer(base, 0.5, adaptive), []

    def closure() -> Tensor:
        optimizer.zero_grad()
        seen.append((x.item(), y.item()))
        loss = (curvature[0] * x.square() + curvature[1] * y.square()) / 2
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    assert seen == [pytest.approx(start), pytest.approx(climbed)]
    assert (x.item(), y.item()) == pytest.approx(end)
    assert loss.item() == pytest.approx((curvature[0] * start[0] ** 2 + curvature[1] * start[1] ** 2) / 2)


def reference_trajectory(
    weights: list[Tensor], loss_of: Callable[[list[Tensor], int], Tensor], rho: float, adaptive: bool, steps: int
) -> list[Tensor]:
    """SAM as in its paper's algorithm 1, with AdamW's algorithm 2 (1711.05101), on tensors that no optimizer holds."""

    def gradient(at: list[Tensor], step: int) -> list[Tensor]:
        at = [w.detach().requires_grad_() for w in at]
        return list(torch.autograd.grad(loss_of(at, step), at))

    first, second = ([torch.zeros_like(w) for w in weights] for _ in range(2))
    for step in range(steps):
        lr = 0.05 / (1 + step)
        g = gradient(weights, step)
        size = [w.abs() if adaptive else torch.ones_like(w) for w in weights]
        norm = sum((t * v).square().sum() for t, v in zip(size, g, strict=True)).sqrt()
        g = gradient([w + rho * t * t * v / norm for w, t, v in zip(weights, size, g, strict=True)], step)
        for i, (w, v) in enumerate(zip(weights, g, strict=True)):
            first[i] = 0.9 * first[i] + 0.1 * v
            second[i] = 0.999 * second[i] + 0.001 * v * v
            m, s = first[i] / (1 - 0.9 ** (step + 1)), second[i] / (1 - 0.999 ** (step + 1))
            decay = 0.1 if w.dim() == 2 else 0.0
            weights[i] = w - lr * decay * w - lr * m / (s.sqrt() + 1e-8)
    return weights


@adaptive_or_not
def test_twenty_steps_with_adamw_are_those_of_an_independent_loop(adaptive):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    x, labels = torch.randn(20, 16, 5, dtype=torch.float64), torch.randint(3, (20, 16))
    matrices, biases = ([p for p in model.parameters() if p.dim() == dim] for dim in (2, 1))
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": biases, "weight_decay": 0.0}]
    optimizer = SAMOptimizer(torch.optim.AdamW(groups), rho=0.3, adaptive=adaptive)

    def loss_of(weights: list[Tensor], step: int) -> Tensor:
        w1, b1, w2, b2 = weights
        logits = torch.tanh(x[step] @ w1.T + b1) @ w2.T + b2
        return (logits.logsumexp(1) - logits[range(16), labels[step]]).mean()

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x[step]), labels[step])
        loss.backward()
        return loss

    start = [p.detach().clone() for p in model.parameters()]
    expected, plain = (reference_trajectory(list(start), loss_of, rho, adaptive, steps=20) for rho in (0.3, 0.0))
    for step in range(20):
        for group in optimizer.param_groups:  # as a trial sets its learning rate
            group["lr"] = 0.05 / (1 + step)
        optimizer.step(closure)
    for p, w, without in zip(model.parameters(), expected, plain, strict=True):
        torch.testing.assert_close(p.detach(), w, rtol=1e-6, atol=1e-6)
        assert (w - without).abs().max() > 1e-3


@adaptive_or_not
def test_weights_come_back_bit_for_bit_from_a_climb(adaptive):
    torch.manual_seed(0)
    model = nn.Linear(30, 30)
    optimizer = SAMOptimizer(torch.optim.SGD(model.parameters(), lr=0.0), rho=0.7, adaptive=adaptive)
    before, seen = [p.detach().clone() for p in model.parameters()], []

    def closure() -> Tensor:
        optimizer.zero_grad()
        seen.append(torch.is_grad_enabled())
        loss = model(torch.ones(4, 30)).square().mean()
        loss.backward()
        return loss

    with torch.no_grad():
        first = model(torch.ones(4, 30)).square().mean()
    assert optimizer.step(closure).item() == pytest.approx(first.item())
    assert seen == [True, True]
    assert all(map(torch.equal, before, model.parameters()))


def test_a_parameter_without_gradient_stays_where_it_is():
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = SAMOptimizer(torch.optim.SGD([used, unused], lr=0.1), rho=0.5)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = used.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.equal(unused.detach(), torch.ones(2))
    assert (used < 0.8).all()  # 0.8 without the climb


def test_a_flat_place_is_no_reason_to_divide_by_0():
    weight = nn.Parameter(torch.ones(3))
    optimizer = SAMOptimizer(torch.optim.SGD([weight], lr=0.1), rho=0.5)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (weight - 1.0).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.equal(weight.detach(), torch.ones(3))


def test_its_state_is_its_base_optimizers():
    weight = nn.Parameter(torch.ones(3))
    base = torch.optim.AdamW([weight], lr=0.1)
    optimizer = SAMOptimizer(base, rho=0.5)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    state = optimizer.state_dict()
    assert optimizer.param_groups is base.param_groups
    assert state == base.state_dict()  # the very same tensors
    other = SAMOptimizer(torch.optim.AdamW([nn.Parameter(torch.ones(3))], lr=0.9), rho=0.5)
    other.load_state_dict(state)
    (loaded,) = other.base.state.values()
    assert torch.equal(loaded["exp_avg"], base.state[weight]["exp_avg"])
    assert other.param_groups[0]["lr"] == 0.1


# Inside a trial


class Spy:
    """Remembers what each pass through a trial's model saw and gave."""

    def __init__(self, trainer: Trainer) -> None:
        self.weights: list[list[Tensor]] = []
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.model = trainer.classifier.model
        watch(self.model, self.before)
        self.classify = self.model.classify
        self.model.classify = self.after

    def before(self, x: Tensor) -> None:
        self.weights.append([p.detach().clone() for p in self.model.parameters()])
        self.inputs.append(x.clone())

    def after(self, frames: Tensor) -> Tensor:
        logits = self.classify(frames)
        self.outputs.append(logits.detach().float())
        return logits

    def moved(self) -> list[Tensor]:
        """Return e(w): how far the parameters had moved at the second pass."""
        return [there - here for here, there in zip(self.weights[0], self.weights[1], strict=True)]


def start(flat: dict[str, Any], data: Any) -> tuple[Trainer, Spy]:
    """Return a trainer about to take its first step, and its spy."""
    trainer = Trainer(TrialConfig.from_flat(ALL_OFF | {"convnext_form": "seed"} | flat), data, CPU)
    trainer.classifier.train()
    return trainer, Spy(trainer)


def total_norm(tensors: list[Tensor]) -> float:
    return torch.cat([t.flatten().double() for t in tensors]).norm().item()


CLIPS = list(range(0, 36, 4))  # of all three classes


def test_a_trial_passes_twice_for_each_step(small, tones_data):
    trainer, spy = start(small | {"sam_rho": 0.05}, tones_data)
    trainer.run_epoch()
    steps = -(-len(tones_data.train) // 8)
    assert len(spy.outputs) == 2 * steps + 2  # and two batches of validation clips


def test_the_first_pass_is_the_one_that_is_reported(small, tones_data):
    trainer, spy = start(small | {"sam_rho": 5.0}, tones_data)
    told = trainer.train_batch(CLIPS, {}, lr=1e-3)
    labels = tones_data.train.labels[CLIPS]
    losses = [F.cross_entropy(logits, labels).item() for logits in spy.outputs]
    right = [(logits.argmax(1) == labels).sum().item() for logits in spy.outputs]
    assert told["loss"].mean().item() == pytest.approx(losses[0])
    assert told["acc"].sum().item() == right[0]
    assert losses[1] > 1.5 * losses[0]
    assert right[1] != right[0]


@pytest.mark.parametrize("masks", ["same", "different"])
def test_dropout_draws_its_masks_once_or_twice_a_step(masks, small, tones_data):
    trainer, spy = start(small | {"sam_rho": 0.5, "sam_masks": masks, "dropout": 0.5}, tones_data)
    kept: list[list[Tensor]] = [[] for _ in range(6)]
    for layer in trainer.classifier.modules():
        if isinstance(layer, nn.Dropout):
            layer.register_forward_hook(lambda _, inputs, output: kept[len(spy.outputs)].append(output != 0))
    torch.manual_seed(3)
    trainer.train_batch(CLIPS, {}, lr=1e-3)
    after = torch.get_rng_state()
    trainer.train_batch(CLIPS, {}, lr=1e-3)
    assert [len(layers) for layers in kept] == [2, 2, 2, 2, 0, 0]
    first, second, third, fourth = ([mask.flatten() for mask in layers] for layers in kept[:4])
    alike = masks == "same"
    for i in range(2):
        assert torch.equal(first[i], second[i]) is alike
        assert torch.equal(third[i], fourth[i]) is alike
        assert (first[i] != third[i]).float().mean().item() == pytest.approx(0.5, abs=0.1)  # a step draws anew
        assert (second[i] != third[i]).float().mean().item() == pytest.approx(0.5, abs=0.1)
    # Equal masks cost the random stream the draws of one pass, so that a step after it is as a plain one's.
    torch.manual_seed(3)
    for _ in range(1 if alike else 2):
        trainer.classifier.model(spy.inputs[0])
    assert torch.equal(torch.get_rng_state(), after)


@adaptive_or_not
def test_clipping_shortens_the_step_and_leaves_the_climb(adaptive, small, tones_data):
    flat = small | {"sam_rho": 0.5, "sam_adaptive": adaptive}
    (free, free_spy), (clipped, clipped_spy) = (start(flat | {"clip_grad": limit}, tones_data) for limit in (0.0, 0.01))
    for trainer in (free, clipped):
        trainer.train_batch(CLIPS, {}, lr=1e-3)
    for there, clipped_there in zip(free_spy.moved(), clipped_spy.moved(), strict=True):
        torch.testing.assert_close(clipped_there, there, rtol=1e-3, atol=1e-6)
    steps = [[p.grad for p in trainer.classifier.parameters()] for trainer in (free, clipped)]
    assert total_norm(steps[0]) > 0.05
    assert total_norm(steps[1]) == pytest.approx(0.01, rel=1e-3)
    for whole, short in zip(*steps, strict=True):
        torch.testing.assert_close(short, whole * 0.01 / total_norm(steps[0]), rtol=1e-2, atol=1e-6)


@adaptive_or_not
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model", ["hifigan", "convnext"])
def test_all_parameters_move_together_by_rho_along_the_gradient(model, precision, adaptive, small, tones_data):
    flat = small | {"model": model, "precision": precision, "sam_rho": 0.05, "sam_adaptive": adaptive}
    trainer, spy = start(flat, tones_data)
    parameters = list(trainer.classifier.parameters())
    with trainer.autocast():
        logits = trainer.classifier(tones_data.train.waves(CLIPS))
    gradients = torch.autograd.grad(F.cross_entropy(logits.float(), tones_data.train.labels[CLIPS]), parameters)
    for seen in (spy.weights, spy.inputs, spy.outputs):
        seen.clear()
    trainer.train_batch(CLIPS, {}, lr=1e-3)
    moved, sizes = spy.moved(), [w.abs() if adaptive else torch.ones_like(w) for w in spy.weights[0]]
    assert all(e.dtype == torch.float32 for e in moved)  # bfloat16 would round e(w) away
    assert all(e.any() for e, size in zip(moved, sizes, strict=True) if size.any())  # norms start from biases of 0
    # Of a weight-normed layer the directions and the magnitudes are what moves; ASAM measures e(w) in units of w.
    radius = [torch.where(size > 1e-3, e / size, 0.0) for e, size in zip(moved, sizes, strict=True)]
    assert total_norm(radius) == pytest.approx(0.05, rel=5e-3)
    norm = total_norm([size * g for size, g in zip(sizes, gradients, strict=True)])
    for e, size, g in zip(moved, sizes, gradients, strict=True):
        torch.testing.assert_close(e, 0.05 * size.square() * g / norm, rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_second_pass_computes_with_the_moved_weights(precision, small, tones_data):
    # Autocast keeps the weights it has rounded for as long as its block lasts: it must not last for both passes.
    trainer, spy = start(small | {"precision": precision, "sam_rho": 2.0}, tones_data)
    trainer.train_batch(CLIPS, {}, lr=1e-3)
    losses = [F.cross_entropy(logits, tones_data.train.labels[CLIPS]).item() for logits in spy.outputs]
    assert losses[1] > 1.2 * losses[0]
    assert all(p.dtype == torch.float32 for p in trainer.classifier.parameters())


def test_both_passes_see_the_same_mixed_and_masked_batch(small, tones_data):
    knobs = {"sam_rho": 0.05, "mixup": 1.0, "time_mask": 0.5, "shift": 1.0}
    trainer, spy = start(small | knobs, tones_data)
    trainer.run_epoch()
    passes = spy.inputs[:-2]
    assert len(passes) == 10
    for first, second in zip(passes[::2], passes[1::2], strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(passes[0], passes[2])


@pytest.mark.parametrize("adaptive", [False, True], ids=["sam", "asam"])
@pytest.mark.parametrize("masks", ["same", "different"])
def test_a_trial_goes_on_from_its_checkpoint_as_if_never_stopped(masks, adaptive, small, tones_data, tmp_path):
    knobs = {"sam_rho": 0.1, "sam_masks": masks, "sam_adaptive": adaptive, "dropout": 0.3, "convnext_form": "seed"}
    config = TrialConfig.from_flat(small | ALL_OFF | knobs)
    whole = [asdict(r) | {"seconds": 0} for r in train_trial(config, tones_data, CPU, tmp_path / "whole.pt")]
    trial = train_trial(config, tones_data, CPU, tmp_path / "stopped.pt")
    stopped = [asdict(next(trial)) | {"seconds": 0}]
    trial.close()
    stopped += [
        asdict(r) | {"seconds": 0} for r in train_trial(config, tones_data, CPU, tmp_path / "stopped.pt", known=1)
    ]
    assert stopped == whole
    first, second = (load_checkpoint(tmp_path / name)["classifier"] for name in ("whole.pt", "stopped.pt"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_running_statistics_are_those_of_the_weights_that_are_kept(small, tones_data):
    """Batch norm of the first pass alone: the second one sees weights that no evaluation will have."""
    after = {}
    for rho in (0.0, 0.5):
        trainer, _ = start(small | {"convnext_pool": "statistics", "sam_rho": rho}, tones_data)
        streams = {method: stream(0, method.name) for method in trainer.methods}
        trainer.train_batch(CLIPS, streams, 1e-3)
        after[rho] = {name: buffer.clone() for name, buffer in trainer.classifier.model.head.named_buffers()}
        norm = trainer.classifier.model.head[0]
        assert norm.track_running_stats
    assert set(after[0.5]) == {"0.running_mean", "0.running_var", "0.num_batches_tracked"}
    for name, buffer in after[0.5].items():
        assert torch.equal(buffer, after[0.0][name])


@pytest.mark.parametrize("rho", [-0.05, -1e-9])
def test_a_radius_below_0_is_refused(rho):
    with pytest.raises(UserError, match="sam_rho"):
        TrialConfig.from_flat({"sam_rho": rho})


def test_other_knobs_of_sam_switch_nothing_on(small, tones_data):
    for knobs in ({}, {"sam_adaptive": True}, {"sam_masks": "different"}):
        trainer, _ = start(small | knobs, tones_data)
        assert isinstance(trainer.optimizer, torch.optim.AdamW)
