"""EnCodec's latents and codes: computed once, from the weights that were asked for and no others."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from esc50tune.config import TrialConfig
from esc50tune.data import latents
from esc50tune.data.cache import ClipCache, open_cache
from esc50tune.data.clips import open_search_data
from esc50tune.data.dataset import Dataset, read_dataset
from esc50tune.data.latents import FILE, load_encodec, open_latents
from esc50tune.data.split import search_split
from esc50tune.errors import UserError
from esc50tune.features import FEATURES
from esc50tune.inputs import open_clips
from esc50tune.trial import Trainer, train_trial
from tests.conftest import write_dataset

TRAIN = (1, 2, 3)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three clips a fold."""
    return read_dataset(write_dataset(tmp_path_factory.mktemp("few") / "tones", clips_a_fold=1))


@pytest.fixture(scope="module")
def waves(few: Dataset) -> ClipCache:
    return open_cache(few, 24_000, 0.25)


@pytest.fixture(scope="module")
def encoded(waves: ClipCache) -> ClipCache:
    return open_latents(waves, "untrained", 1.5, TRAIN)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights such as a user may bring: another random encoder's."""
    from encodec import EncodecModel

    path = tmp_path_factory.mktemp("weights") / FILE
    torch.manual_seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(EncodecModel.encodec_model_24khz(pretrained=False).state_dict(), path)
    return path


@pytest.fixture
def own_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ESC50TUNE_CACHE", str(tmp_path))
    return tmp_path / "latents"


def test_latents_and_codes_have_encodecs_shapes(encoded: ClipCache) -> None:
    frames = -(-6_000 // 320)  # 0.25 s at 24 kHz, 320 samples a frame, rounded up
    assert encoded.fold(1).shape == (3, 128, frames)
    assert encoded.codes(1).shape == (3, 2, frames)  # 1.5 kbit/s is 2 codebooks
    assert isinstance(encoded.fold(1), np.memmap)
    assert encoded.codes(1).min() >= 0
    assert encoded.codes(1).max() < 1024


def test_latents_are_the_encoders_output(encoded: ClipCache, waves: ClipCache) -> None:
    model = load_encodec("untrained")
    wave = torch.from_numpy(waves.fold(2)[2] / np.float32(32_768))[None, None]
    with torch.no_grad():
        assert torch.allclose(model.encoder(wave)[0], torch.from_numpy(np.array(encoded.fold(2)[2])), atol=1e-6)


def test_each_frame_is_given_its_nearest_centre_then_its_residuals(encoded: ClipCache, waves: ClipCache) -> None:
    # The first codebook's centres are the means of the frames given to them only near convergence; but every frame must
    # be nearer to the centre of its code than to those of other frames' codes. Rebuild that from latents and codes.
    frames = np.concatenate([encoded.fold(fold).transpose(0, 2, 1).reshape(-1, 128) for fold in TRAIN])
    first = np.concatenate([encoded.codes(fold)[:, 0].reshape(-1) for fold in TRAIN])
    spread = ((frames - frames.mean(0)) ** 2).sum()
    within = sum(((frames[first == code] - frames[first == code].mean(0)) ** 2).sum() for code in np.unique(first))
    assert len(np.unique(first)) > 20
    assert within < 0.1 * spread


def test_codebooks_are_fitted_on_the_training_folds_alone(
    waves: ClipCache, tmp_path: Path, own_cache_folder: Path
) -> None:
    changed = Path(shutil.copytree(waves.folder, tmp_path / "changed"))
    np.save(changed / "fold-5.npy", np.zeros_like(waves.fold(5)))
    first = open_latents(waves, "untrained", 1.5, TRAIN)
    second = open_latents(ClipCache.at(changed), "untrained", 1.5, TRAIN)
    assert np.array_equal(first.codes(1), second.codes(1))
    assert not np.array_equal(first.codes(5), second.codes(5))
    other = open_latents(waves, "untrained", 1.5, (1, 2, 5))
    assert not np.array_equal(first.codes(3), other.codes(3))


def test_the_untrained_encoder_is_the_same_every_time_and_draws_nothing_of_others() -> None:
    torch.manual_seed(3)
    first = load_encodec("untrained").state_dict()
    drawn = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(3), drawn)
    second = load_encodec("untrained").state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_second_opening_computes_nothing(encoded: ClipCache, waves: ClipCache, monkeypatch) -> None:
    monkeypatch.setattr(latents, "encode_all", None)
    assert open_latents(waves, "untrained", 1.5, TRAIN).folder == encoded.folder


def test_an_interrupted_run_goes_on_with_the_fold_it_was_at(
    waves: ClipCache, own_cache_folder: Path, monkeypatch
) -> None:
    calls, save = [], latents.save_array

    def cut(path: Path, array: np.ndarray) -> None:
        calls.append(path.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        save(path, array)

    monkeypatch.setattr(latents, "save_array", cut)
    with pytest.raises(KeyboardInterrupt):
        open_latents(waves, "untrained", 1.5, TRAIN)
    done = open_latents(waves, "untrained", 1.5, TRAIN)
    assert calls == [*(f"fold-{n}.npy" for n in (1, 2, 3, 3, 4, 5)), *(f"codes-{n}.npy" for n in range(1, 6))]
    assert done.fold(3).shape[0] == 3


def test_weights_from_a_file_are_those_that_are_used(waves: ClipCache, weights: Path, own_cache_folder: Path) -> None:
    model = load_encodec(str(weights))
    stored = torch.load(weights, weights_only=True)
    assert all(torch.equal(value, stored[name]) for name, value in model.state_dict().items())
    by_folder = open_latents(waves, str(weights.parent), 1.5, TRAIN)
    assert by_folder.folder == open_latents(waves, str(weights), 1.5, TRAIN).folder
    assert by_folder.folder != open_latents(waves, "untrained", 1.5, TRAIN).folder


def test_without_a_network_the_message_names_the_file_and_its_place(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("encodec.model.ROOT_URL", "http://127.0.0.1:9/")  # nobody listens there
    with pytest.raises(UserError) as error:
        load_encodec("pretrained")
    message = str(error.value)
    assert all(part in message for part in (FILE, str(tmp_path / "hub" / "checkpoints"), "--encodec-weights PATH"))
    assert "\n" not in message


def test_a_file_that_only_has_the_published_name_is_refused(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / FILE
    place.parent.mkdir(parents=True)
    torch.save(load_encodec("untrained").state_dict(), place)
    with pytest.raises(UserError, match="is not EnCodec's published file: its checksum differs"):
        load_encodec("pretrained")


@pytest.mark.parametrize("content", [b"no weights", b"hello world", b"<html>", b"", None])
def test_a_wrong_weights_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mine.th"
    path.write_bytes(content) if content is not None else torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(UserError, match=rf"mine\.th' does not hold the weights .* as '{FILE}' does"):
        load_encodec(str(path))


def test_a_missing_weights_file_is_named(tmp_path: Path, waves: ClipCache) -> None:
    gone = str(tmp_path / "gone.th")
    with pytest.raises(UserError, match=f"no file '{gone}'"):
        open_latents(waves, gone, 1.5, TRAIN)
    with pytest.raises(UserError, match=f"no file '{gone}'"):
        FEATURES["encodec"].require(TrialConfig.from_flat(ENCODEC | {"encodec_weights": gone}))


ENCODEC = {"feature": "encodec", "encodec_weights": "untrained", "sample_rate": 24_000}


@pytest.mark.parametrize("bandwidth", [1.5, 6.0])
def test_the_examples_a_model_is_tried_on_are_shaped_as_the_clips(
    bandwidth: float, small: dict, few: Dataset, own_cache_folder: Path
) -> None:
    config, split = TrialConfig.from_flat(small | ENCODEC | {"encodec_bandwidth": bandwidth}), search_split(few, 5, 4)
    real = open_search_data(open_clips(few, config, split), split).train.batch([0, 1, 2], torch.device("cpu"))
    example = FEATURES["encodec"].example(config, 3, 3).batch([0, 1, 2], torch.device("cpu"))
    for part in ("waves", "targets", "codes", "shares"):
        assert getattr(example, part).shape == getattr(real, part).shape
        assert getattr(example, part).dtype == getattr(real, part).dtype
    assert real.codes.shape == (3, 1, {1.5: 2, 6.0: 8}[bandwidth], 19)


SEED_CAUSAL = {"model": "causal", "causal_norm": "group", "causal_pool": "last", "code_lm": 1.0}


@pytest.mark.parametrize(
    "model",
    [{"model": "hifigan"}, {"model": "convnext"}, {"model": "causal"}, SEED_CAUSAL],
    ids=["hifigan", "convnext", "causal", "causal and codes"],
)
def test_a_trial_trains_on_latents(model: dict, small: dict, few: Dataset) -> None:
    knobs = {"encodec_standardise": True, "causal_blocks": 1, "causal_kernel": 5}
    config = TrialConfig.from_flat(small | ENCODEC | knobs | model)
    split = search_split(few, 5, 4)
    results = list(train_trial(config, open_search_data(open_clips(few, config, split), split)))
    if config.code_lm:
        assert results[-1].figures["train_loss_codes"] < results[0].figures["train_loss_codes"]
    assert [result.epoch for result in results] == [1, 2, 3]
    assert results[-1].train_loss < results[0].train_loss


def test_standardised_latents_have_mean_0_and_deviation_1_over_the_training_folds(small: dict, few: Dataset) -> None:
    config, split = TrialConfig.from_flat(small | ENCODEC | {"encodec_standardise": True}), search_split(few, 5, 4)
    trainer = Trainer(config, open_search_data(open_clips(few, config, split), split), torch.device("cpu"))
    train = trainer.classifier.feature(trainer.data.train.waves(range(9)))
    assert torch.allclose(train.mean((0, 2)), torch.zeros(128), atol=1e-3)
    assert torch.allclose(train.std((0, 2)), torch.ones(128), atol=1e-2)


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"sample_rate": 16_000}, ["'encodec'", "sample_rate=24000", "16000"]),
        ({"encodec_bandwidth": 2.0}, ["encodec_bandwidth (2)", "1.5, 3, 6, 12, 24"]),
        ({"scale": 1.25}, ["scale (1.25)", "'encodec'"]),
        ({"between_class": 1.0}, ["between_class (1)", "'encodec'"]),
        ({"gain_db": 6.0}, ["gain_db (6)", "'encodec'"]),
    ],
)
def test_what_cannot_be_done_to_latents_is_refused(knobs: dict, words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        TrialConfig.from_flat(ENCODEC | knobs)
    assert all(word in str(error.value) for word in words), str(error.value)
