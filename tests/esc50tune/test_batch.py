"""A training batch: codes stay with the samples or frames that they were made of, through every change."""

from __future__ import annotations

import itertools

import pytest
import torch

from esc50tune.config import TrialConfig
from esc50tune.data.batch import Batch
from esc50tune.regularizers import active
from esc50tune.seeds import stream
from tests.conftest import CAUSAL


def numbered(clips: int, channels: int, frames: int, books: int = 2) -> Batch:
    """Features and codes in which every value tells its clip, its channel or codebook, and its frame."""
    x = [[[1e4 * b + 1e2 * c + t for t in range(frames)] for c in range(channels)] for b in range(clips)]
    codes = [[[10_000 * b + 100 * n + t for t in range(frames)] for n in range(books)] for b in range(clips)]
    return Batch.of(torch.tensor(x), torch.eye(clips), torch.tensor(codes))


def test_a_new_batch_is_unmixed():
    batch = numbered(3, 4, 5)
    assert batch.codes.shape == (3, 1, 2, 5)
    assert batch.codes[2, 0, 1, 4] == 20_104
    assert batch.shares.tolist() == [[1.0], [1.0], [1.0]]
    assert len(batch) == 3
    assert Batch.of(batch.waves, batch.targets).codes is None


@pytest.mark.parametrize("length", [7, 100])
def test_places_over_time_turn_each_clip_as_torchs_roll_does(length):
    offsets = [0, 1, -1, 3, -6, length, length + 2, -2 * length - 1]
    batch = numbered(len(offsets), 3, length)
    turned = batch.over_time((torch.arange(length) - torch.tensor(offsets)[:, None]) % length)
    for i, offset in enumerate(offsets):
        assert torch.equal(turned.waves[i], batch.waves[i].roll(offset, -1))
        assert torch.equal(turned.codes[i], batch.codes[i].roll(offset, -1))
    assert turned.targets is batch.targets
    assert turned.shares is batch.shares


def test_places_over_time_are_each_clips_own_in_any_order_and_number():
    batch, places = numbered(2, 3, 6), [[5, 0, 0, 2], [1, 2, 3, 4]]
    taken = batch.over_time(torch.tensor(places))
    for b, i in itertools.product(range(2), range(4)):
        assert taken.waves[b, :, i].tolist() == [1e4 * b + 1e2 * c + places[b][i] for c in range(3)]
        assert taken.codes[b, 0, :, i].tolist() == [10_000 * b + 100 * n + places[b][i] for n in range(2)]


def mixture(size: int = 3, frames: int = 6) -> Batch:
    """Return a batch of clips mixed of two, each with shares of its own."""
    batch, other, share = numbered(size, 4, frames), torch.arange(size).roll(1), torch.linspace(0.5, 0.9, size)
    waves = share[:, None, None] * batch.waves + (1 - share[:, None, None]) * batch.waves[other]
    return batch.mixed(waves, batch.targets, other, share)


@pytest.mark.parametrize("batch", [numbered(3, 4, 6), mixture()], ids=["unmixed", "mixed"])
def test_views_of_a_clip_stand_in_a_row(batch):
    places = [[0, 1], [2, 3], [4, 5], [3, 0]]
    viewed = batch.views(torch.tensor(places))
    assert len(viewed) == 12
    for row, (b, view) in enumerate(itertools.product(range(3), places)):
        assert torch.equal(viewed.waves[row], torch.stack([batch.waves[b, :, t] for t in view], dim=-1))
        assert torch.equal(viewed.codes[row], torch.stack([batch.codes[b, ..., t] for t in view], dim=-1))
        assert torch.equal(viewed.targets[row], batch.targets[b])
        assert torch.equal(viewed.shares[row], batch.shares[b])


def assert_made_of_parts(batch: Batch) -> None:
    """Every value of `numbered` clips is the mean of those of its parts, whose codes tell clip and frame."""
    first_channel = (batch.shares[:, :, None] * batch.codes[:, :, 0]).sum(1)
    torch.testing.assert_close(batch.waves[:, 0], first_channel, rtol=1e-6, atol=1e-3)
    torch.testing.assert_close(batch.shares.sum(1), torch.ones(len(batch)))
    assert torch.equal(batch.codes[:, :, 1], batch.codes[:, :, 0] + 100)


def test_a_mixture_keeps_the_codes_and_shares_of_its_parts():
    batch = mixture()
    assert batch.codes.shape == (3, 2, 2, 6)
    assert batch.codes[:, :, 0, 0].tolist() == [[0, 20_000], [10_000, 0], [20_000, 10_000]]
    torch.testing.assert_close(batch.shares, torch.tensor([[0.5, 0.5], [0.7, 0.3], [0.9, 0.1]]))
    assert_made_of_parts(batch)


def test_a_mixture_of_mixtures_is_made_of_all_their_parts():
    batch, other, share = mixture(), torch.tensor([1, 2, 0]), torch.tensor([0.6, 0.8, 1.0])
    waves = share[:, None, None] * batch.waves + (1 - share[:, None, None]) * batch.waves[other]
    twice = batch.mixed(waves, batch.targets, other, share)
    assert twice.codes[0, :, 0, 0].tolist() == [0, 20_000, 10_000, 0]
    torch.testing.assert_close(twice.shares[0], torch.tensor([0.3, 0.3, 0.28, 0.12]))
    assert_made_of_parts(twice)


@pytest.mark.parametrize(
    "change",
    [
        lambda batch: batch.over_time(torch.zeros(3, 2, dtype=torch.long)),
        lambda batch: batch.views(torch.zeros(4, 2, dtype=torch.long)),
        lambda batch: batch.mixed(batch.waves, batch.targets, torch.tensor([2, 0, 1]), torch.full((3,), 0.5)),
    ],
    ids=["over time", "views", "mixed"],
)
def test_a_batch_without_codes_gets_none(change):
    assert change(Batch.of(torch.randn(3, 1, 8), torch.eye(3))).codes is None


# Regularizers


def changed(knobs: dict[str, float], batch: Batch, seed: int = 0) -> Batch:
    """Return what the methods of a trial on latents, in their order, make of a training batch."""
    for method in active(TrialConfig.from_flat(CAUSAL | {"weight_decay": 0.0} | knobs)):
        batch = method.on_batch(batch, stream(seed, method.name))
    return batch


SHIFT, CROP, MIXUP = {"shift": 1.0}, {"crop_seconds": 0.1}, {"mixup": 1.0}


@pytest.mark.parametrize(
    ("knobs", "parts", "frames"),
    [(SHIFT, 1, 20), (CROP, 1, 8), (MIXUP, 2, 20), (SHIFT | CROP, 1, 8), (SHIFT | CROP | MIXUP, 2, 8)],
    ids=["shift", "crop", "mixup", "shift and crop", "all"],
)
def test_methods_move_codes_with_the_latents(knobs, parts, frames):
    before = numbered(30, 4, 20)
    batch = changed(knobs, before)
    assert batch.codes.shape == (30, parts, 2, frames)
    assert batch.waves.shape == (30, 4, frames)
    assert not torch.equal(batch.waves, before.waves[..., :frames])
    assert_made_of_parts(batch)
    # The first part is the clip itself, and the targets follow the shares.
    assert torch.equal(batch.codes[:, 0, 0] // 10_000, torch.arange(30)[:, None].expand(-1, frames))
    targets = torch.zeros(30, 30)
    for b, p in itertools.product(range(30), range(parts)):
        targets[b, batch.codes[b, p, 0, 0] // 10_000] += batch.shares[b, p]
    torch.testing.assert_close(batch.targets, targets)
    assert batch.shares.min() < 0.5 or parts == 1


@pytest.mark.parametrize("mixed", [False, True])
def test_views_at_evaluation_have_the_codes_of_their_frames(mixed):
    batch = mixture(3, 20) if mixed else numbered(3, 4, 20)
    (crop,) = active(TrialConfig.from_flat(CAUSAL | {"weight_decay": 0.0, "crop_views": 4} | CROP))
    viewed = crop.on_eval(batch)
    assert viewed.waves.shape == (12, 4, 8)
    assert (viewed.codes[:, 0, 0, 0] % 100).tolist() == 3 * [0, 4, 8, 12]
    assert_made_of_parts(viewed)
