"""Log-mel, against numpy's Fourier transform and Slaney's formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from esc50tune.config import TrialConfig
from esc50tune.data.latents import load_encodec
from esc50tune.features import FEATURES
from esc50tune.features.logmel import LogMel

RATE, FRAMES, BANDS, HOP, WINDOW = 8_000, 100, 16, 80, 512


@pytest.fixture
def logmel() -> LogMel:
    return LogMel(TrialConfig(sample_rate=RATE, logmel_bands=BANDS, logmel_frames_per_second=FRAMES))


@pytest.fixture
def waves() -> torch.Tensor:
    """Noise whose level differs from clip to clip and within a clip."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (7, 1, 2_000)) * np.logspace(-2.5, -0.5, 7)[:, None, None] * np.linspace(0.1, 1, 2_000)
    return torch.from_numpy(noise).float()


def slaney_mel(hertz: np.ndarray) -> np.ndarray:
    """Three mel for 200 Hz up to 1 kHz (15 mel), then 27 mel for a factor of 6.4."""
    return np.where(hertz < 1_000, hertz * 3 / 200, 15 + 27 * np.log(np.maximum(hertz, 1) / 1_000) / np.log(6.4))


def band_edges(bands: int, highest: float) -> np.ndarray:
    """Return `bands` + 2 frequencies even in mel, in Hz; those between the first and the last are the centres."""
    mels = np.linspace(0, slaney_mel(np.array(highest)), bands + 2)
    return np.where(mels < 15, mels * 200 / 3, 1_000 * 6.4 ** ((mels - 15) / 27))


def reference_level(wave: np.ndarray) -> np.ndarray:
    """Return dB of each band and frame: Hann frames around each hop's start, power spectrum, triangles of height 1."""
    padded = np.pad(wave, WINDOW // 2, mode="reflect")
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    frames = [padded[start : start + WINDOW] * hann for start in range(0, len(wave), HOP)]
    power = np.abs(np.fft.rfft(frames)) ** 2
    hertz, edges = np.fft.rfftfreq(WINDOW, 1 / RATE), band_edges(BANDS, RATE / 2)
    triangles = [np.interp(hertz, edges[i : i + 3], [0, 1, 0]) for i in range(BANDS)]
    return 10 * np.log10(np.maximum(power @ np.array(triangles).T, 1e-10)).T


def test_levels_are_those_of_numpy(logmel, waves):
    expected = np.stack([reference_level(wave) for wave in waves[:, 0].double().numpy()])
    assert logmel.level(waves).shape == (7, BANDS, 25)
    np.testing.assert_allclose(logmel.level(waves).numpy(), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("rate", "frames", "seconds", "window", "expected"),
    [
        (44_100, 75, 5.0, 4_096, 375),
        (8_000, 100, 0.25, 512, 25),
        (24_000, 75, 1.0, 2_048, 75),
        (6_400, 100, 1, 256, 100),
    ],
)
def test_frames_come_at_the_rate_asked_for_from_a_window_of_four_hops(rate, frames, seconds, window, expected):
    logmel = LogMel(TrialConfig(sample_rate=rate, logmel_frames_per_second=frames, logmel_bands=24))
    assert logmel.channels == 24
    assert logmel.decibel[0].n_fft == window
    assert logmel(torch.randn(2, 1, round(rate * seconds))).shape == (2, 24, expected)


def test_it_has_encodecs_shape_with_the_defaults_at_encodecs_rate():
    config = TrialConfig(sample_rate=24_000)
    encodec = FEATURES["encodec"].example(TrialConfig(sample_rate=24_000, feature="encodec"), 2, 2)
    assert LogMel(config)(torch.randn(2, 1, 120_000)).shape == encodec.waves([0, 1]).shape == (2, 128, 375)


@pytest.mark.parametrize("samples", [6_399, 6_400, 6_401, 6_560, 6_719, 6_720, 6_721, 11_003])
@torch.no_grad()
def test_it_has_as_many_frames_as_encodecs_encoder_gives_of_any_length(samples):
    waves = torch.randn(1, 1, samples)
    frames = LogMel(TrialConfig(sample_rate=24_000, logmel_bands=24))(waves).shape[2]
    assert frames == math.ceil(samples / 320)
    assert frames == load_encodec("untrained").encoder(waves).shape[2]


def test_each_band_has_mean_0_and_deviation_1_over_the_training_clips(logmel, waves):
    logmel.fit(iter([waves[:4], waves[4:5], waves[5:]]))  # batches of unlike sizes: every clip counts the same
    values = logmel(waves).double()
    torch.testing.assert_close(values.mean((0, 2)), torch.zeros(BANDS).double(), rtol=0, atol=1e-4)
    torch.testing.assert_close(values.std((0, 2), unbiased=False), torch.ones(BANDS).double(), rtol=0, atol=1e-4)


def test_other_clips_are_standardised_with_the_training_clips_statistics(logmel, waves):
    logmel.fit([waves[:3]])
    level = logmel.level(waves)
    mean = level[:3].mean((0, 2))[:, None]
    deviation = level[:3].std((0, 2), unbiased=False)[:, None]
    torch.testing.assert_close(logmel(waves[3:]), (level[3:] - mean) / deviation, rtol=1e-3, atol=1e-3)


def test_silence_is_minus_100_db_and_standardises_to_finite_values(logmel):
    silence = torch.zeros(2, 1, 2_000)
    assert (logmel.level(silence) == -100).all()
    logmel.fit([silence])
    assert not logmel(silence).any()


@pytest.mark.parametrize("aside", [-0.35, 0.0, 0.35])
def test_a_tone_is_loudest_in_the_band_whose_centre_is_nearest(logmel, aside):
    edges = band_edges(BANDS, RATE / 2)
    centres = edges[1:-1]
    hertz = centres + aside * (edges[2:] - centres if aside > 0 else centres - edges[:-2])
    tones = np.sin(2 * np.pi * hertz[:, None] * np.arange(2_000) / RATE)
    levels = logmel.level(torch.from_numpy(tones).float()[:, None])[:, :, 5:-5].mean(2)
    assert levels.argmax(1).tolist() == list(range(BANDS))
