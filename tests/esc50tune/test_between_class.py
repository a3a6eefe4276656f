"""Between-class learning: the paper's mixture in numbers worked by hand, its partners, and levels as heard."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from esc50tune.config import TrialConfig
from esc50tune.data.batch import Batch
from esc50tune.errors import UserError
from esc50tune.regularizers import REGULARIZERS
from esc50tune.regularizers.between_class import BetweenClass, a_weighted_level, a_weighting, mix
from esc50tune.seeds import stream

ALL_OFF = {name: 0.0 for method in REGULARIZERS for name in method.on}
RATE = 44_100


def mixed(waves: Tensor, targets: Tensor, share: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    method = BetweenClass(TrialConfig.from_flat(ALL_OFF | {"between_class": share}))
    batch = method.on_batch(Batch.of(waves, targets), stream(seed, "between-class"))
    return batch.waves, batch.targets


def tone(hertz: float, amplitude: float, seconds: float = 0.5, rate: int = RATE) -> Tensor:
    t = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    return (amplitude * torch.sin(2 * torch.pi * hertz * t)).float()


# The mixture


@pytest.mark.parametrize(
    ("g1", "g2", "expected"),
    [
        # p = 1 / (1 + 0.7 / 0.3) = 0.3; (0.3 + 1.4) / sqrt(0.09 + 0.49)
        (-12.0, -12.0, 2.2322094),
        # p = 1 / (1 + 10 * 7 / 3) = 3 / 73; (3 + 140) / sqrt(9 + 4900)
        (-10.0, -30.0, 2.0409836),
        # p = 1 / (1 + 0.1 * 7 / 3) = 30 / 37; (30 + 14) / sqrt(900 + 49)
        (-30.0, -10.0, 1.4283004),
    ],
)
def test_the_mixture_is_the_papers(g1, g2, expected):
    first, second = torch.full((1, 1, 4), 1.0), torch.full((1, 1, 4), 2.0)
    targets = torch.eye(3)[[0]], torch.eye(3)[[2]]
    wave, target = mix(first, second, *targets, torch.tensor([g1]), torch.tensor([g2]), torch.tensor([0.3]))
    torch.testing.assert_close(wave, torch.full((1, 1, 4), expected))
    torch.testing.assert_close(target, torch.tensor([[0.3, 0.0, 0.7]]))


@pytest.mark.parametrize("r", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("quieter", [0.0, 6.0])
def test_the_mixture_of_noises_as_loud_keeps_their_energy(r, quieter):
    torch.manual_seed(0)
    noises = torch.randn(2, 1, 1, 50_000)
    one = torch.ones(1)
    wave, _ = mix(*noises, torch.ones(1, 2), torch.ones(1, 2), quieter * one, 0.0 * one, r * one)
    assert wave.square().mean().item() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("r", [0.0, 1.0])
@pytest.mark.parametrize("difference", [-140.0, 0.0, 140.0])
def test_extremes_stay_finite(r, difference):
    one = torch.ones(1)
    wave, target = mix(*torch.randn(2, 1, 1, 9), *torch.eye(2)[:, None], difference * one, 0.0 * one, r * one)
    assert wave.isfinite().all()
    torch.testing.assert_close(target, torch.tensor([[r, 1 - r]]), rtol=0, atol=1e-5)


def test_half_and_half_sounds_as_loud_from_both():
    # A loud tone and one at a tenth of its amplitude: whatever the share, what is heard of each follows the targets.
    waves = torch.stack([tone(1_000, 0.8), tone(2_000, 0.08)])[:, None]
    for seed in range(5):
        wave, target = mixed(waves, torch.eye(2), seed=seed)
        for i in range(2):
            spectrum = torch.fft.rfft(wave[i, 0].double()).abs()
            # Half a second: bin 500 is 1 kHz, and 2 kHz is heard 1.2 dB louder than it is.
            heard = spectrum[500], spectrum[1_000] * 10 ** (1.2 / 20)
            assert (heard[0] / heard[1]).item() == pytest.approx((target[i, 0] / target[i, 1]).item(), rel=0.03)


# Partners


def impulses(labels: list[int], length: int = 4_096) -> tuple[Tensor, Tensor]:
    """Clips told apart by where their only sample lies, as loud as one another or nearly so."""
    waves = torch.zeros(len(labels), 1, length)
    waves[range(len(labels)), 0, length // 2 + torch.arange(len(labels))] = 0.5
    return waves, torch.eye(max(labels) + 1)[labels]


def test_a_partner_is_any_clip_of_another_class():
    labels = [0, 0, 0, 0, 1, 1, 2, 0]
    waves, targets = impulses(labels)
    pairs = set()
    for seed in range(60):
        wave, target = mixed(waves, targets, seed=seed)
        for i in range(len(labels)):
            heard = wave[i, 0, 2_048 : 2_048 + len(labels)].nonzero().flatten().tolist()
            (partner,) = set(heard) - {i}
            assert len(heard) == 2
            assert labels[partner] != labels[i]
            r = target[i, labels[i]].item()
            assert target[i, labels[partner]].item() == pytest.approx(1 - r, abs=1e-6)
            # Levels differ by next to nothing here: the samples lie as r to 1 - r.
            ratio = (wave[i, 0, 2_048 + i] / wave[i, 0, 2_048 + partner]).item()
            assert math.log(ratio) == pytest.approx(math.log(r / (1 - r)), abs=0.02)
            pairs.add((i, partner))
    every = {(i, j) for i in range(8) for j in range(8) if labels[i] != labels[j]}
    assert pairs == every


def test_a_batch_of_one_class_is_left_alone():
    waves, targets = torch.randn(5, 1, 6_000), torch.eye(3)[[1] * 5]
    wave, target = mixed(waves, targets)
    assert torch.equal(wave, waves)
    assert torch.equal(target, targets)


def test_a_batch_of_one_clip_is_left_alone():
    waves, targets = torch.randn(1, 1, 6_000), torch.eye(3)[[2]]
    wave, target = mixed(waves, targets)
    assert torch.equal(wave, waves)
    assert torch.equal(target, targets)


@pytest.mark.parametrize("share", [0.2, 0.7, 1.0])
def test_as_many_clips_are_mixed_as_asked_and_the_others_left_alone(share):
    torch.manual_seed(0)
    waves, targets = torch.randn(1_500, 1, 64), torch.eye(5)[torch.arange(1_500) % 5]
    wave, target = mixed(waves, targets, share)
    changed = (wave != waves).any(2)[:, 0]
    assert changed.float().mean().item() == pytest.approx(share, abs=0.03)
    assert torch.equal((target != targets).any(1), changed)
    torch.testing.assert_close(target.sum(1), torch.ones(1_500))
    assert ((target > 0).sum(1) == 1 + changed.long()).all()
    own = target[range(1_500), torch.arange(1_500) % 5][changed].sort().values.numpy()
    ranks = (np.arange(len(own)) + 0.5) / len(own)
    assert np.abs(own - ranks).max() < 1.63 / np.sqrt(len(own))  # r is drawn evenly from 0 to 1 (Kolmogorov)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_that_is_no_probability_is_refused(share):
    with pytest.raises(UserError, match="between_class"):
        TrialConfig.from_flat({"between_class": share})


# Levels


@pytest.mark.parametrize(
    ("exact", "decibels"),
    [
        # IEC 61672-1, table 3, at the exact frequencies of its bands.
        (31.623, -39.4),
        (63.096, -26.2),
        (100.0, -19.1),
        (125.893, -16.1),
        (251.189, -8.6),
        (501.187, -3.2),
        (1_000.0, 0.0),
        (1_995.262, 1.2),
        (3_981.072, 1.0),
        (7_943.282, -1.1),
        (10_000.0, -2.5),
        (15_848.93, -6.6),
    ],
)
def test_the_weighting_is_that_of_the_standards_table(exact, decibels):
    factor = a_weighting(torch.tensor([exact, 0.0]))
    assert 10 * math.log10(factor[0].item()) == pytest.approx(decibels, abs=0.1)
    assert factor[1] == 0


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_a_tenth_of_the_amplitude_is_20_decibels_less(rate):
    waves = torch.stack([tone(1_000, a, rate=rate) for a in (0.5, 0.05, 0.005)])[:, None]
    levels = a_weighted_level(waves, rate)
    assert levels.shape == (3,)
    assert (levels[:-1] - levels[1:]).tolist() == pytest.approx([20.0, 20.0], abs=0.05)


@pytest.mark.parametrize(("hertz", "quieter"), [(100.0, 19.1), (250.0, 8.7), (4_000.0, -1.0), (10_000.0, 2.5)])
def test_a_tone_is_as_loud_as_it_is_heard(hertz, quieter):
    levels = a_weighted_level(torch.stack([tone(1_000, 0.5), tone(hertz, 0.5)])[:, None], RATE)
    assert (levels[0] - levels[1]).item() == pytest.approx(quieter, abs=0.3)


@pytest.mark.parametrize("onset", [0.0, 0.7, 1.6])
def test_the_loudest_window_counts(onset):
    long, burst = tone(1_000, 0.5, 2.0), tone(1_000, 0.05, 2.0)
    begin = round(onset * RATE)
    burst[begin : begin + 12_000] = long[begin : begin + 12_000]  # about three windows
    levels = a_weighted_level(torch.stack([long, burst])[:, None], RATE)
    assert (levels[0] - levels[1]).item() == pytest.approx(0.0, abs=0.1)


def test_a_silent_clip_and_one_shorter_than_a_window_have_a_level():
    assert a_weighted_level(torch.zeros(1, 1, 9_000), RATE).isfinite().all()
    assert a_weighted_level(torch.zeros(1, 1, 9_000), RATE) < a_weighted_level(tone(1_000, 1e-4)[None, None], RATE)
    levels = a_weighted_level(torch.stack([tone(1_000, a, 0.02) for a in (0.5, 0.05)])[:, None], RATE)
    assert (levels[0] - levels[1]).item() == pytest.approx(20.0, abs=0.05)
