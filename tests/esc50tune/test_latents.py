"""EnCodec's latents and codes: computed once, from the weights that were asked for and no others."""

from __future__ import annotations

import hashlib
import multiprocessing
import re
import shutil
import time
import warnings
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.progress import Progress

from esc50tune.config import TrialConfig
from esc50tune.data import latents
from esc50tune.data.cache import ClipCache, open_cache
from esc50tune.data.clips import open_search_data
from esc50tune.data.dataset import Dataset, read_dataset
from esc50tune.data.latents import FILE, check_unchanged, fingerprint, load_encodec, open_latents
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
        assert torch.allclose(model.encoder(wave)[0], torch.from_numpy(np.array(encoded.fold(2)[2])), rtol=0, atol=2e-8)


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
    monkeypatch.setattr(latents, "code_all", None)
    assert open_latents(waves, "untrained", 1.5, TRAIN).folder == encoded.folder


def test_a_bar_follows_each_part_of_the_work_to_its_end(waves: ClipCache, own_cache_folder: Path, monkeypatch) -> None:
    class Watched(Progress):
        def stop(self) -> None:
            bars.extend((task.description, task.completed, task.total) for task in self.tasks)
            super().stop()

    bars: list[tuple] = []
    monkeypatch.setattr(latents, "Progress", Watched)
    open_latents(waves, "untrained", 3.0, TRAIN)
    assert bars == [
        ("encoding 15 clips by EnCodec", 15, 15),
        ("fitting 4 codebooks", 40, 40),
        ("coding 15 clips by 4 codebooks", 15, 15),
    ]


# what is written of each fold, in this order: its one block, then the whole
FOLDS = [name for n in range(1, 6) for name in (f"fold-{n}-part-0", f"fold-{n}")]
CODES = [f"codes-{n}" for n in range(1, 6)]


@pytest.mark.parametrize(
    ("cut", "again"),
    [
        (5, FOLDS[:5] + FOLDS[4:] + CODES),
        (6, FOLDS[:6] + FOLDS[5:] + CODES),
        (12, FOLDS + CODES[:2] + CODES),
    ],
    ids=["block", "fold", "codes"],
)
def test_a_killed_run_goes_on_where_it_was_and_leaves_nothing_half_written_to_be_read(
    cut: int, again: list[str], encoded: ClipCache, waves: ClipCache, own_cache_folder: Path, monkeypatch
) -> None:
    written, write = [], Path.write_bytes

    def killed(path: Path, content: memoryview) -> None:
        written.append(path.name[1:].partition(".")[0])  # of .fold-1.npy.PID, not yet the name that is read
        write(path, content)
        if len(written) == cut:
            write(path, content[:500])
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        open_latents(waves, "untrained", 1.5, TRAIN)
    done = open_latents(waves, "untrained", 1.5, TRAIN)
    assert written == again
    for fold in range(1, 6):
        assert np.array_equal(done.fold(fold), encoded.fold(fold))
        assert np.array_equal(done.codes(fold), encoded.codes(fold))


@pytest.mark.parametrize("name", ["fold-2.npy", "codes-2.npy"])
@pytest.mark.parametrize("content", [b"", bytes(500), None], ids=["empty", "zeros", "gone"])
def test_damage_is_named_and_what_is_removed_is_made_again(
    name: str, content: bytes | None, waves: ClipCache, own_cache_folder: Path
) -> None:
    coded = open_latents(waves, "untrained", 1.5, TRAIN)
    path = next(own_cache_folder.rglob(name))
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(f"'{path}' is damaged")) as refused:
        coded.fold(2), coded.codes(2)
    told = Path(str(refused.value).split("remove '")[1].split("'")[0])
    assert told in (coded.folder, coded.folder.parent)
    shutil.rmtree(told)
    again = open_latents(waves, "untrained", 1.5, TRAIN)
    assert again.fold(2).shape[0] == again.codes(2).shape[0] == 3


@pytest.mark.parametrize("content", [b"", bytes(500)], ids=["empty", "zeros"])
def test_damage_of_what_a_cut_run_had_encoded_is_named(
    content: bytes, waves: ClipCache, own_cache_folder: Path, monkeypatch
) -> None:
    save = latents.save_array

    def cut(path: Path, array: np.ndarray) -> None:
        if path.name == "fold-1.npy":
            raise KeyboardInterrupt
        save(path, array)

    monkeypatch.setattr(latents, "save_array", cut)
    with pytest.raises(KeyboardInterrupt):
        open_latents(waves, "untrained", 1.5, TRAIN)
    (part,) = own_cache_folder.rglob("fold-1-part-0.npy")
    part.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(f"'{part}' is damaged") + ".*remove"):
        open_latents(waves, "untrained", 1.5, TRAIN)


def open_together(barrier: Barrier, results: SimpleQueue, waves: ClipCache) -> None:
    """Open the latents at the same moment as another process; tell what this one computed, and what it reads."""
    torch.set_num_threads(1)
    computed = []

    def counted(name: str) -> Callable[..., None]:
        compute = getattr(latents, name)

        def slow(*args: object) -> None:
            computed.append(name)
            time.sleep(2)  # time enough for the other to begin too, if nothing holds it back
            compute(*args)

        return slow

    for name in ("encode_all", "code_all"):
        setattr(latents, name, counted(name))
    barrier.wait(timeout=120)
    cache = open_latents(waves, "untrained", 1.5, TRAIN)
    read = [(cache.fold(fold).tobytes(), cache.codes(fold).tobytes()) for fold in range(1, 6)]
    results.put((computed, hashlib.sha256(repr(read).encode()).hexdigest()))


@pytest.mark.slow
def test_of_two_processes_one_computes_and_both_read_the_same(waves: ClipCache, own_cache_folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.SimpleQueue()
    processes = [context.Process(target=open_together, args=(barrier, results, waves)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0]
    answers = [results.get() for _ in processes]
    assert sorted(name for computed, _ in answers for name in computed) == ["code_all", "encode_all"]
    assert len({read for _, read in answers}) == 1


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
        ({"encodec_bandwidth": 2.0}, ["encodec_bandwidth", "2", "1.5, 3, 6, 12, 24"]),
        ({"scale": 1.25}, ["scale (1.25)", "'encodec'"]),
        ({"between_class": 1.0}, ["between_class (1)", "'encodec'"]),
        ({"gain_db": 6.0}, ["gain_db (6)", "'encodec'"]),
    ],
)
def test_what_cannot_be_done_to_latents_is_refused(knobs: dict, words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        TrialConfig.from_flat(ENCODEC | knobs)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_weights_file_whose_content_changed_is_not_the_same_any_more(tmp_path: Path) -> None:
    path = tmp_path / "weights.th"
    path.write_bytes(b"one")
    before = {str(path): fingerprint(str(path)), "untrained": "untrained"}
    check_unchanged(before)
    path.write_bytes(b"other")
    with pytest.raises(UserError, match=r"weights.th' are not those of the sweep"):
        check_unchanged(before)
