"""EnCodec's codes: those of its own `encode`, or of codebooks fitted on the clips that train, each on what is left."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.cluster.vq import vq

from esc50tune.data import latents
from esc50tune.data.cache import ClipCache, open_cache
from esc50tune.data.clips import open_confirmation_data, open_search_data
from esc50tune.data.dataset import read_dataset
from esc50tune.data.latents import FILE, fit_codebooks, load_encodec, open_latents, training_clips, write_index
from esc50tune.data.split import Split
from esc50tune.errors import UserError
from tests.conftest import write_dataset

TRAIN = (1, 2, 3)


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> ClipCache:
    """Three clips a fold, of 19 frames."""
    return open_cache(read_dataset(write_dataset(tmp_path_factory.mktemp("few") / "tones", 1)), 24_000, 0.25)


@pytest.fixture(scope="module")
def encoded(waves: ClipCache) -> ClipCache:
    return open_latents(waves, "untrained", 1.5, TRAIN)


@pytest.fixture
def own_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ESC50TUNE_CACHE", str(tmp_path))
    return tmp_path / "latents"


def new_quantizer(bins: int, dimension: int) -> torch.nn.Module:
    """One of EnCodec's kind with three codebooks."""
    from encodec.quantization import ResidualVectorQuantizer

    return ResidualVectorQuantizer(dimension=dimension, n_q=3, bins=bins)


def test_codes_are_those_of_encodecs_own_encode(waves: ClipCache, tmp_path: Path, own_cache_folder: Path) -> None:
    from encodec import EncodecModel

    torch.manual_seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = EncodecModel.encodec_model_24khz(pretrained=False)
    with torch.no_grad():
        seen = model.encoder(torch.from_numpy(waves.fold(1)[:, None] / np.float32(32_768)))
    spread, mean = seen.std((0, 2)), seen.mean((0, 2))
    for place, layer in enumerate(model.quantizer.vq.layers):  # a new model's are all zero, and code everything as 0
        layer.codebook.copy_(torch.randn(1024, 128) * spread + (mean if place == 0 else 0.0))
    torch.save(model.state_dict(), tmp_path / FILE)
    for bandwidth, number in ((1.5, 2), (24.0, 32)):
        model.set_target_bandwidth(bandwidth)
        opened = open_latents(waves, str(tmp_path), bandwidth, TRAIN)
        for fold in range(1, 6):
            clips = torch.from_numpy(waves.fold(fold) / np.float32(32_768))
            with torch.no_grad():
                expected = np.concatenate([model.encode(clip[None, None])[0][0].numpy() for clip in clips])
            assert expected.shape == (3, number, 19)
            assert all(len(np.unique(codes)) > 10 for codes in expected.swapaxes(0, 1))
            np.testing.assert_array_equal(opened.codes(fold), expected)


@pytest.mark.parametrize("place", range(3))
def test_each_codebook_finds_the_next_finer_part_of_sums(place: int) -> None:
    # Frames are sums of ±100, ±10 and ±1, so two centres at each of three stages tell them all. By hand: the means on
    # both sides of 0 are ±100; what is left is ±10 ±1, with means ±10; what is left is ±1.
    sums = np.array([sum(parts) for parts in itertools.product((-100, 100), (-10, 10), (-1, 1))], np.float32)
    blur = np.linspace(-0.01, 0.01, 8)[:, None]  # no two alike: a start at two equal frames would leave a centre idle
    frames = np.concatenate([sums + blur[i] for i in range(8)])[:, None].astype(np.float32)
    quantizer = new_quantizer(bins=2, dimension=1)
    fit_codebooks(quantizer, frames, 3, lambda: None)
    centres = sorted(quantizer.vq.layers[place].codebook[:, 0].tolist())
    assert centres == pytest.approx([-(10 ** (2 - place)), 10 ** (2 - place)], abs=0.05)


def test_each_codebook_is_fitted_on_what_those_before_it_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted_on, kmeans = [], latents.kmeans2

    def watched(data: np.ndarray, *args: object, **options: object) -> tuple:
        fitted_on.append(data)
        return kmeans(data, *args, **options)

    monkeypatch.setattr(latents, "kmeans2", watched)
    monkeypatch.setattr(latents, "KMEANS_ROUNDS", 2)  # far from converged: the last centres are not the last but one
    frames, quantizer, steps = (
        np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32),
        new_quantizer(16, 5),
        [],
    )
    fit_codebooks(quantizer, frames, 3, lambda: steps.append(None))
    assert len(steps) == len(fitted_on) == 6
    left = frames
    for layer, data in zip(quantizer.vq.layers, fitted_on[::2], strict=True):
        np.testing.assert_allclose(data, left, rtol=0, atol=1e-6)
        centres = layer.codebook.numpy()
        left = left - centres[vq(left, centres)[0]]
    assert np.square(left).sum() < 0.2 * np.square(frames).sum()


def test_frames_of_one_code_are_near_each_other(encoded: ClipCache) -> None:
    frames = np.concatenate([encoded.fold(fold).transpose(0, 2, 1).reshape(-1, 128) for fold in TRAIN])
    first = np.concatenate([encoded.codes(fold)[:, 0].reshape(-1) for fold in TRAIN])
    spread = ((frames - frames.mean(0)) ** 2).sum()
    within = sum(((frames[first == code] - frames[first == code].mean(0)) ** 2).sum() for code in np.unique(first))
    assert len(np.unique(first)) > 20
    assert within < 0.1 * spread


@pytest.mark.parametrize("elsewhere", [None, 4, 5])
def test_codebooks_are_fitted_on_the_frames_of_the_training_clips_alone(
    elsewhere: int | None, waves: ClipCache, own_cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def watched(quantizer: object, frames: np.ndarray, *others: object) -> None:
        fitted_on.extend(frames)
        fit_codebooks(quantizer, frames, *others)

    fitted_on: list[np.ndarray] = []
    monkeypatch.setattr(latents, "fit_codebooks", watched)
    sources = {fold: list(rows) for fold, rows in waves.sources.items()}
    if elsewhere is not None:  # the first clip of fold 1 is left out of the training
        sources[1][0] = sources[elsewhere][2]
    opened = open_latents(replace(waves, sources=sources), "untrained", 1.5, TRAIN)
    trains = np.concatenate([opened.fold(fold) for fold in TRAIN])[0 if elsewhere is None else 1 :]
    expected = [clip[:, frame] for clip in trains for frame in range(19)]
    assert sorted(frame.tobytes() for frame in fitted_on) == sorted(frame.tobytes() for frame in expected)


def test_of_many_frames_some_are_drawn_at_random(monkeypatch: pytest.MonkeyPatch, encoded: ClipCache) -> None:
    monkeypatch.setattr(latents, "KMEANS_FRAMES", 60)
    clips = training_clips(encoded, TRAIN)
    drawn = latents.draw_frames(clips)
    assert drawn.shape == (60, 128)
    assert np.array_equal(drawn, latents.draw_frames(clips))
    of = [(drawn[:, None] == clip.T[None]).all(-1).any(1).sum() for clip in clips.waves(range(9)).numpy()]
    assert min(of) >= 1


def test_the_clips_that_codebooks_see_are_those_of_the_training(waves: ClipCache) -> None:
    shared = {fold: list(rows) for fold, rows in waves.sources.items()}
    shared[1][0], shared[2][1], shared[3][2] = shared[4][0], shared[5][1], shared[1][2]
    leaky = replace(waves, sources=shared)
    searched = open_search_data(leaky, Split(TRAIN, 4, 5)).train
    assert training_clips(leaky, TRAIN).sources == searched.sources
    assert searched.left_out == 2
    assert training_clips(leaky, (3, 1, 2)).sources == searched.sources  # folds in any order are one split
    for fold in range(1, 6):
        train = tuple(other for other in range(1, 6) if other != fold)
        assert training_clips(leaky, train).sources == open_confirmation_data(leaky, fold).train.sources


def test_a_class_that_is_left_without_a_training_clip_is_named(waves: ClipCache) -> None:
    heard = {fold: ["one", f"{fold}", f"{fold}b"] for fold in waves.sources}
    with pytest.raises(UserError, match=r"class 'low' has no clip of its own in the training folds 1, 2, 3"):
        training_clips(replace(waves, sources=heard), TRAIN)


def test_each_bandwidth_has_its_own_codes_of_the_same_latents(
    waves: ClipCache, own_cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = open_latents(waves, "untrained", 1.5, TRAIN)
    monkeypatch.setattr(latents, "encode_all", None)
    wide = open_latents(waves, "untrained", 3.0, TRAIN)
    narrow = open_latents(waves, "untrained", 1.5, TRAIN)
    assert narrow.codes(4).shape == (3, 2, 19)
    assert wide.codes(4).shape == (3, 4, 19)
    assert np.array_equal(narrow.codes(4), wide.codes(4)[:, :2])  # a wider band only adds codebooks
    other = open_latents(waves, "untrained", 1.5, (1, 2, 4))
    assert len({cache.folder for cache in (narrow, wide, other)}) == 3
    assert not np.array_equal(narrow.codes(4), other.codes(4))
    assert np.array_equal(narrow.fold(4), other.fold(4))
    assert len(list(own_cache_folder.rglob("fold-4.npy"))) == 1


@pytest.fixture
def nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latents, "encode_all", lambda waves, weights, folder: write_index(folder, waves))
    monkeypatch.setattr(
        latents, "code_all", lambda clips, weights, bandwidth, train, folder: write_index(folder, clips)
    )


def test_no_two_splits_share_codes(own_cache_folder: Path, nothing_is_computed: None) -> None:
    folds = (1, 2, 11, 12, 111)
    waves = ClipCache(Path("waves"), ["a"], {fold: [0] for fold in folds}, {fold: [f"{fold}"] for fold in folds}, {})
    splits = [train for size in range(1, 5) for train in itertools.combinations(folds, size)]
    assert len({open_latents(waves, "untrained", 1.5, train).folder for train in splits}) == len(splits) == 30
    assert len({open_latents(waves, "untrained", 1.5, train).folder for train in ((1, 11), (11, 1))}) == 1


def test_many_folds_still_make_a_file_name(own_cache_folder: Path, nothing_is_computed: None) -> None:
    folds = tuple(range(1_000, 2_000))
    waves = ClipCache(Path("waves"), ["a"], {fold: [0] for fold in folds}, {fold: [f"{fold}"] for fold in folds}, {})
    assert open_latents(waves, "untrained", 1.5, folds[2:]).folder.is_dir()


@pytest.mark.parametrize(("version", "encoded_anew"), [("VERSION", True), ("CODES_VERSION", False)])
def test_another_version_does_not_take_the_files_of_the_last(
    version: str, encoded_anew: bool, own_cache_folder: Path, nothing_is_computed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    waves = ClipCache(Path("waves"), ["a"], {1: [0]}, {1: ["s"]}, {})
    first = open_latents(waves, "untrained", 1.5, (1,)).folder
    monkeypatch.setattr(latents, version, getattr(latents, version) + 1)
    second = open_latents(waves, "untrained", 1.5, (1,)).folder
    assert second != first
    assert (second.parent != first.parent) is encoded_anew


@pytest.mark.parametrize("bandwidth", latents.BANDWIDTHS)
def test_a_bandwidth_buys_as_many_codebooks_as_the_package_says(bandwidth: float) -> None:
    model = load_encodec("untrained")
    expected = model.quantizer.get_num_quantizers_for_bandwidth(model.frame_rate, bandwidth)
    assert latents.codebooks(bandwidth) == expected
