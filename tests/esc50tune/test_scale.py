"""Time stretch: clips played faster and slower, against np.interp and against the pitch that is heard."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from esc50tune.config import TrialConfig
from esc50tune.data.batch import Batch
from esc50tune.errors import UserError
from esc50tune.regularizers import REGULARIZERS
from esc50tune.regularizers.scale import Scale, play
from esc50tune.seeds import stream

ALL_OFF = {name: 0.0 for method in REGULARIZERS for name in method.on}


def played(wave: Tensor, speed: float, place: float) -> Tensor:
    """Play one clip [T]."""
    return play(wave[None, None], torch.tensor([speed]).double(), torch.tensor([place]).double())[0, 0]


def scaled(waves: Tensor, scale: float) -> Tensor:
    targets = torch.rand(len(waves), 3)
    before = targets.clone()
    method = Scale(TrialConfig.from_flat(ALL_OFF | {"scale": scale}))
    batch = method.on_batch(Batch.of(waves, targets), stream(0, "scale"))
    assert torch.equal(batch.targets, before)
    return batch.waves


def assert_uniform(values: np.ndarray, low: float, high: float) -> None:
    """The largest gap between the empirical distribution and the uniform one (Kolmogorov) stays small."""
    assert low <= values.min()
    assert values.max() <= high
    ranks = (np.arange(len(values)) + 0.5) / len(values)
    assert np.abs((np.sort(values) - low) / (high - low) - ranks).max() < 1.63 / np.sqrt(len(values))


@pytest.mark.parametrize("place", [0.0, 0.3, 1.0])
def test_at_its_own_speed_a_clip_is_itself(place):
    wave = torch.randn(101)
    assert torch.equal(played(wave, 1.0, place), wave)


@pytest.mark.parametrize("length", [100, 101])
@pytest.mark.parametrize("speed", [0.5, 0.8, 1.1, 2.0])
@pytest.mark.parametrize("place", [0.0, 0.37, 0.99])
def test_it_reads_between_samples_as_numpy_does(length, speed, place):
    wave = np.sin(0.3 * np.arange(length)) + 2.0
    # Slowed, the clip's part begins anywhere that leaves enough of it; quickened, so much of the silence comes first.
    start = place * (length - 1) * (1 - speed)
    expected = np.interp(start + speed * np.arange(length), np.arange(length), wave, left=0.0, right=0.0)
    out = played(torch.from_numpy(wave).float(), speed, place)
    np.testing.assert_allclose(out.numpy(), expected, rtol=0, atol=1e-5)
    assert len(out) == length


def test_a_slowed_clip_keeps_its_length_and_a_part_is_heard():
    ramp = torch.arange(1.0, 102.0)
    assert played(ramp, 0.5, 0.0).tolist() == [1 + i / 2 for i in range(101)]
    assert played(ramp, 0.5, 1.0).tolist() == [51 + i / 2 for i in range(101)]
    assert played(ramp, 0.5, 0.5).tolist() == [26 + i / 2 for i in range(101)]


def test_a_quickened_clip_is_heard_whole_with_silence_around_it():
    ramp = torch.arange(1.0, 102.0)
    heard, silence = [1.0 + 2 * i for i in range(51)], [0.0] * 50
    assert played(ramp, 2.0, 0.0).tolist() == heard + silence
    assert played(ramp, 2.0, 1.0).tolist() == silence + heard
    assert played(ramp, 2.0, 0.5).tolist() == silence[:25] + heard + silence[25:]


@pytest.mark.parametrize(("speed", "hertz"), [(1.25, 500), (0.8, 320), (2.0, 800)])
@pytest.mark.parametrize("place", [0.0, 0.5])
def test_pitch_follows_speed(speed, hertz, place):
    wave = torch.sin(2 * torch.pi * 400 * torch.arange(8_000) / 8_000)  # one second: a bin is a hertz
    assert torch.fft.rfft(played(wave, speed, place)).abs().argmax().item() == hertz


def test_each_clip_of_a_batch_has_its_own_speed_and_place():
    waves, speed, place = torch.randn(3, 1, 50), torch.tensor([0.5, 1.0, 1.7]), torch.tensor([0.1, 0.2, 0.9])
    batch = play(waves, speed.double(), place.double())
    for i in range(3):
        torch.testing.assert_close(batch[i, 0], played(waves[i, 0], speed[i].item(), place[i].item()))


@pytest.mark.parametrize("scale", [1.25, 2.0])
def test_speeds_are_even_in_their_logarithm_and_places_even(scale):
    length = 401
    out = scaled(torch.arange(1.0, length + 1).expand(3_000, 1, -1), scale)[:, 0].double().numpy()
    middle = length // 2  # heard at any speed up to twice the clip's
    speed = (out[:, middle + 1] - out[:, middle - 1]) / 2
    assert_uniform(np.log(speed), -np.log(scale) - 1e-4, np.log(scale) + 1e-4)
    # The position at which the first sample reads, from the middle's; all that a speed leaves free is used.
    start = out[:, middle] - 1 - middle * speed
    apart = np.abs(1 - speed) > 0.02  # near its own speed a clip has nowhere to go
    place = start[apart] / ((length - 1) * (1 - speed[apart]))
    assert_uniform(place, -0.01, 1.01)


def test_a_factor_of_1_changes_nothing():
    waves = torch.randn(20, 1, 60)
    assert torch.equal(scaled(waves, 1.0), waves)


@pytest.mark.parametrize("scale", [0.01, 0.8, 0.999])
def test_a_factor_below_1_is_refused(scale):
    with pytest.raises(UserError, match=rf"scale \({scale:g}\) is a factor of at least 1"):
        TrialConfig.from_flat({"scale": scale})


@pytest.mark.parametrize("scale", [-1.25, 4.1])
def test_a_factor_out_of_range_is_refused(scale):
    with pytest.raises(UserError, match="scale"):
        TrialConfig.from_flat({"scale": scale})
