"""Random streams: the same everywhere, and each alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from esc50tune.seeds import derive_seed, stream


@pytest.mark.parametrize(
    ("seed", "names", "expected"),
    [
        (0, ("weights",), 3070155652473197163),
        (7, ("order", 3), 2450386253568812543),
        (2**63 - 1, ("mixup", 100), 6138301524140039215),
    ],
)
def test_seeds_stay_what_they_were(seed, names, expected):
    # A sweep that is taken up on another machine, or next year, must draw what it drew.
    assert derive_seed(seed, *names) == expected


def test_no_two_streams_of_many_share_a_seed():
    seeds, names, epochs = (0, 1, 2, 10, 2**31, 2**62), ("weights", "order", "layers", "shift", "mixup"), range(1, 60)
    derived = [derive_seed(*key) for key in itertools.product(seeds, names, epochs)]
    assert len(set(derived)) == len(derived)
    assert all(0 <= value < 2**63 for value in derived)


def test_a_shorter_name_is_not_the_longer_one_with_a_zero():
    assert derive_seed(0, "a") != derive_seed(0, "a", 0)


def test_the_order_of_the_names_matters():
    assert derive_seed(0, "a", "b") != derive_seed(0, "b", "a")


def test_a_stream_does_not_depend_on_what_others_have_drawn():
    alone = stream(3, "shift", 1).uniform(size=5)
    other, beside = stream(3, "mixup", 1), stream(3, "shift", 1)
    np.random.default_rng().uniform(size=9)
    np.random.uniform(size=9)
    assert not np.array_equal(other.uniform(size=5), alone)
    assert np.array_equal(beside.uniform(size=5), alone)
