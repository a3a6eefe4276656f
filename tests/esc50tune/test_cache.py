"""The cache of decoded clips: right samples, whole or absent, made once, safe among processes."""

from __future__ import annotations

import multiprocessing
import shutil
import sys
from collections import Counter
from dataclasses import replace
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from esc50tune.data import cache as module
from esc50tune.data.audio import Recording, fit_clip, read_recording
from esc50tune.data.cache import INDEX, ClipCache, cache_root, open_cache
from esc50tune.data.dataset import Dataset, read_dataset
from esc50tune.data.synthetic import stand_in_folder
from esc50tune.errors import UserError

RATE, SECONDS, LENGTH = 8_000, 0.25, 2_000


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for the caches of one test."""
    monkeypatch.setenv("ESC50TUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def fresh(fresh_tones: Path) -> Dataset:
    return read_dataset(fresh_tones)


def folders(root: Path) -> list[str]:
    """Names of all that lies beside the caches, but for locks."""
    return sorted(path.name for path in (root / "clips").glob("*") if path.suffix != ".lock")


def refusal(dataset: Dataset) -> str:
    with pytest.raises(UserError) as caught:
        open_cache(dataset, RATE, SECONDS)
    return str(caught.value)


def test_the_cache_lies_where_the_environment_says(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_root() == root
    monkeypatch.setenv("ESC50TUNE_CACHE", "~/somewhere")
    assert cache_root() == Path.home() / "somewhere"
    monkeypatch.delenv("ESC50TUNE_CACHE")
    assert cache_root() == Path.home() / ".cache" / "esc50tune"


@pytest.mark.parametrize("place", ["~no-such-user/cache", ""])
def test_a_cache_in_a_home_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(module.Path, "home", homeless)
    monkeypatch.setenv("ESC50TUNE_CACHE", place)
    with pytest.raises(UserError, match="no home folder for the cache: point ESC50TUNE_CACHE"):
        cache_root()


def test_a_cache_with_a_name_too_long_is_refused(
    fresh: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ESC50TUNE_CACHE", str(tmp_path / ("x" * 300)))
    for way in (lambda: open_cache(fresh, RATE, SECONDS), stand_in_folder):
        with pytest.raises(UserError, match=r"File name too long.*ESC50TUNE_CACHE"):
            way()


@pytest.mark.parametrize("content", [b"", bytes(40), b"{", b"[]", b'{"classes": ["a", "b"]}', b'{"labels": []}'])
def test_a_damaged_index_is_named_and_what_is_removed_is_made_again(fresh: Dataset, content: bytes) -> None:
    folder = open_cache(fresh, RATE, SECONDS).folder
    (folder / INDEX).write_bytes(content)
    assert f"'{folder / INDEX}' is damaged: remove '{folder}'" in refusal(fresh)
    shutil.rmtree(folder)
    assert open_cache(fresh, RATE, SECONDS).fold(1).shape == (3, LENGTH)


def test_what_has_lost_its_index_is_made_again(fresh: Dataset) -> None:
    cache = open_cache(fresh, RATE, SECONDS)
    (cache.folder / INDEX).unlink()
    (cache.folder / "fold-1.npy").write_bytes(b"")
    assert open_cache(fresh, RATE, SECONDS).fold(1).shape == (3, LENGTH)


def test_a_cache_may_be_read_by_whoever_may_read_its_parent(fresh: Dataset) -> None:
    folder = open_cache(fresh, RATE, SECONDS).folder
    assert folder.stat().st_mode == folder.parent.stat().st_mode


def test_rows_are_the_decoded_files_in_the_order_of_the_csv(fresh: Dataset) -> None:
    cache = open_cache(fresh, RATE, SECONDS)
    for fold in range(1, 6):
        clips = [clip for clip in fresh.clips if clip.fold == fold]
        expected = [soundfile.read(fresh.audio_path(clip), dtype="int16")[0] for clip in clips]
        np.testing.assert_array_equal(cache.fold(fold), np.stack(expected))
        assert cache.labels[fold] == [clip.target for clip in clips]
        assert cache.sources[fold] == [clip.src_file for clip in clips]
    assert cache.classes == ["low", "middle", "high"]


def test_labels_count_from_zero_when_targets_have_gaps(fresh: Dataset) -> None:
    gaps = {"low": 41, "middle": 0, "high": 10}
    clips = tuple(replace(clip, target=gaps[clip.category]) for clip in fresh.clips)
    cache = open_cache(Dataset(fresh.root, clips), RATE, SECONDS)
    assert cache.classes == ["middle", "high", "low"]
    assert cache.labels == {fold: [2, 0, 1] for fold in range(1, 6)}


def test_arrays_are_memory_maps_that_nobody_can_write(fresh: Dataset) -> None:
    array = open_cache(fresh, RATE, SECONDS).fold(1)
    assert isinstance(array, np.memmap)
    assert array.mode == "r"
    assert (array.dtype, array.shape) == (np.int16, (3, LENGTH))
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


def test_facts_count_what_was_padded_cut_averaged_and_resampled(fresh_tones: Path) -> None:
    audio = sorted((fresh_tones / "audio").iterdir())
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (9_000, 2))
    soundfile.write(audio[0], noise[:1_900, 0], RATE)  # 12.5 ms short
    soundfile.write(audio[1], noise[:500, 0], RATE)
    soundfile.write(audio[2], noise[:2_100, 0], RATE)  # 12.5 ms long
    soundfile.write(audio[3], noise[:2_000], RATE)
    soundfile.write(audio[4], noise[:9_000], 16_000)  # cut, averaged and resampled
    soundfile.write(audio[5], noise[:4_000, 0], 16_000)  # just as long as asked
    soundfile.write(audio[6], noise[:2_044, 0], RATE)  # what a codec leaves over is not worth a word
    cache = open_cache(read_dataset(fresh_tones), RATE, SECONDS)
    expected = {"padded": 2, "cut": 2, "several_channels": 2, "rates": {"8000": 13, "16000": 2}}
    assert cache.facts == expected
    assert ClipCache.at(cache.folder).facts == expected


def test_facts_name_zeros(fresh: Dataset) -> None:
    assert open_cache(fresh, RATE, SECONDS).facts == {
        "padded": 0,
        "cut": 0,
        "several_channels": 0,
        "rates": {"8000": 15},
    }


def test_facts_stay_right_when_threads_take_turns_all_the_time(
    tones: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recording = Recording(np.zeros(10, np.float32), RATE, 2)
    many = Dataset(tones.root, tones.clips * 100)
    monkeypatch.setattr(module, "read_recording", lambda path: recording)
    monkeypatch.setattr(module, "fit_clip", lambda recording, rate, length: np.zeros(1, np.int16))
    monkeypatch.setattr(module.os, "cpu_count", lambda: 8)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        module.decode_all(many, RATE, LENGTH, tmp_path / "made")
    finally:
        sys.setswitchinterval(usual)
    facts = ClipCache.at(tmp_path / "made").facts
    assert facts == {"padded": 6_000, "cut": 0, "several_channels": 6_000, "rates": {"8000": 6_000}}


def test_rates_and_lengths_have_caches_of_their_own(fresh: Dataset, root: Path) -> None:
    caches = [open_cache(fresh, rate, seconds) for rate, seconds in ((8_000, 0.25), (4_000, 0.25), (8_000, 0.1))]
    assert len({cache.folder for cache in caches}) == len(folders(root)) == 3
    assert [cache.fold(1).shape for cache in caches] == [(3, 2_000), (3, 1_000), (3, 800)]
    path = fresh.audio_path(fresh.clips[0])
    np.testing.assert_array_equal(caches[1].fold(1)[0], fit_clip(read_recording(path), 4_000, 1_000))


def test_other_audio_under_the_same_names_has_another_cache(fresh: Dataset) -> None:
    before = open_cache(fresh, RATE, SECONDS)
    soundfile.write(fresh.audio_path(fresh.clips[0]), np.zeros(LENGTH), RATE)
    after = open_cache(read_dataset(fresh.root), RATE, SECONDS)
    assert before.fold(1)[0].any()
    assert not after.fold(1)[0].any()


def test_a_second_opening_decodes_nothing(fresh: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_cache(fresh, RATE, SECONDS)
    monkeypatch.setattr(module, "decode_all", lambda *args: pytest.fail("decoded again"))
    second = open_cache(read_dataset(fresh.root), RATE, SECONDS)
    assert second == first


def test_a_moved_data_set_finds_its_cache(fresh: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_cache(fresh, RATE, SECONDS)
    shutil.move(fresh.root, tmp_path / "moved")
    monkeypatch.setattr(module, "decode_all", lambda *args: pytest.fail("decoded again"))
    assert open_cache(read_dataset(tmp_path / "moved"), RATE, SECONDS) == first


def test_the_folder_alone_opens_elsewhere(fresh: Dataset, tmp_path: Path) -> None:
    cache = open_cache(fresh, RATE, SECONDS)
    copy = ClipCache.at(Path(shutil.copytree(cache.folder, tmp_path / "copy")))
    assert (copy.classes, copy.labels, copy.sources) == (cache.classes, cache.labels, cache.sources)
    np.testing.assert_array_equal(copy.fold(3), cache.fold(3))


def test_all_bad_files_are_named_at_once_and_no_cache_is_left(fresh: Dataset, root: Path) -> None:
    paths = [fresh.audio_path(clip) for clip in fresh.clips]
    paths[0].unlink()
    paths[4].write_bytes(b"")
    paths[8].write_text("no audio")
    paths[14].write_bytes(paths[13].read_bytes()[:1_000])
    message = refusal(read_dataset(fresh.root))
    assert message.startswith("4 files of")
    assert str(fresh.root / "audio") in message
    for place, why in ((0, "missing"), (4, "empty file"), (8, "not audio, or damaged"), (14, "truncated")):
        assert f"{paths[place].name} ({why})" in message
    assert sum(path.name in message for path in paths) == 4
    assert folders(root) == []


def test_one_bad_file_is_one_file(fresh: Dataset) -> None:
    fresh.audio_path(fresh.clips[7]).unlink()
    assert refusal(read_dataset(fresh.root)).startswith("1 file of")


def test_a_name_too_long_for_the_disk_is_listed_as_a_bad_file(fresh: Dataset) -> None:
    path = fresh.root / "meta" / "esc50.csv"
    path.write_text(path.read_text().replace(fresh.clips[0].filename, "x" * 300))
    assert "xxx (File name too long)" in refusal(read_dataset(fresh.root))


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_decoding_that_stops_midway_leaves_nothing_that_is_trusted(
    fresh: Dataset, root: Path, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
) -> None:
    saved, calls = np.save, []

    def save_then_stop(path: Path, array: np.ndarray) -> None:
        calls.append(path)
        if len(calls) == 3:
            raise stop
        saved(path, array)

    with monkeypatch.context() as broken:
        broken.setattr(module.np, "save", save_then_stop)
        with pytest.raises(stop):
            open_cache(fresh, RATE, SECONDS)
    assert len(calls) == 3
    assert folders(root) == []
    assert [len(open_cache(fresh, RATE, SECONDS).fold(fold)) for fold in range(1, 6)] == [3] * 5


def test_a_whole_cache_appears_in_one_step(fresh: Dataset, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, rename = [], Path.rename

    def seen(made: Path, folder: Path) -> Path:
        before.append((folder.exists(), sorted(path.name for path in made.iterdir())))
        return rename(made, folder)

    monkeypatch.setattr(Path, "rename", seen)
    open_cache(fresh, RATE, SECONDS)
    assert before == [(False, [*(f"fold-{fold}.npy" for fold in range(1, 6)), INDEX])]


def test_what_a_killed_process_leaves_is_not_trusted(
    fresh: Dataset, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A killed process cleans nothing up: its folder stays, and so does its lock file, though nobody holds it.
    leftovers = root / "clips" / ".making-killed"
    leftovers.mkdir(parents=True)
    (leftovers / "fold-1.npy").write_bytes(b"half")
    (leftovers / INDEX).write_text("{}")
    (root / "clips" / f"{fresh.fingerprint}-{RATE}Hz-{SECONDS:g}s.lock").touch()
    decoded = []
    decode_all = module.decode_all
    monkeypatch.setattr(module, "decode_all", lambda *args: (decoded.append(args), decode_all(*args)))
    cache = open_cache(fresh, RATE, SECONDS)
    assert len(decoded) == 1
    assert cache.folder != leftovers
    assert cache.fold(1).shape == (3, LENGTH)


def test_too_small_a_disk_is_noticed_before_decoding(
    fresh: Dataset, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = 15 * LENGTH * 2
    with monkeypatch.context() as small:
        small.setattr(module.shutil, "disk_usage", lambda path: SimpleNamespace(free=need - 1))
        small.setattr(module, "read_recording", lambda path: pytest.fail("decoded without room"))
        message = refusal(fresh)
    assert "GB free" in message
    assert str(root / "clips") in message
    assert "ESC50TUNE_CACHE" in message
    assert folders(root) == []
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: SimpleNamespace(free=need))
    assert open_cache(fresh, RATE, SECONDS).fold(1).shape == (3, LENGTH)


@pytest.mark.parametrize("place", ["cache", "cache/clips"])
def test_a_file_in_place_of_the_cache_is_named(fresh: Dataset, root: Path, place: str) -> None:
    path = root.parent / place
    path.parent.mkdir(exist_ok=True)
    path.write_text("in the way")
    message = refusal(fresh)
    assert f"cannot write the cache '{root / 'clips'}" in message
    assert "ESC50TUNE_CACHE" in message


def test_a_cache_folder_without_permission_is_named(
    fresh: Dataset, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.tempfile, "TemporaryDirectory", forbidden)
    message = refusal(fresh)
    assert f"cannot write the cache '{root / 'clips'}" in message
    assert "Permission denied" in message


def test_a_disk_that_fills_up_while_writing_is_one_sentence(
    fresh: Dataset, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, array: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.np, "save", full)
    assert "No space left on device" in refusal(fresh)
    assert folders(root) == []


def open_together(barrier: Barrier, results: SimpleQueue, dataset: Dataset) -> None:
    """Open the cache at the same moment as others; tell how often this process decoded, and what it sees."""
    decoded: Counter[str] = Counter()
    decode_all = module.decode_all

    def counted(*args: object) -> None:
        decoded["times"] += 1
        decode_all(*args)

    module.decode_all = counted
    barrier.wait(timeout=120)
    try:
        cache = open_cache(dataset, RATE, SECONDS)
        seen = [int(cache.fold(fold).astype(np.int64).sum()) for fold in range(1, 6)]
        results.put((decoded["times"], str(cache.folder), seen))
    except UserError as error:
        results.put((decoded["times"], str(error), []))


@pytest.mark.slow
def test_of_several_processes_one_decodes_and_all_see_the_same(tones: Dataset, root: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.SimpleQueue()
    processes = [context.Process(target=open_together, args=(barrier, results, tones)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    answers = [results.get() for _ in processes]
    assert sorted(times for times, _, _ in answers) == [0, 0, 1]
    cache = open_cache(tones, RATE, SECONDS)
    expected = [int(cache.fold(fold).astype(np.int64).sum()) for fold in range(1, 6)]
    assert [(folder, seen) for _, folder, seen in answers] == [(str(cache.folder), expected)] * 3
    assert folders(root) == [cache.folder.name]
