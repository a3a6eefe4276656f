"""The embedded stand-in: its layout, its variety, the same bytes each time, and its mark."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from esc50tune.data import synthetic
from esc50tune.data.dataset import MARK, Clip, Dataset, read_dataset
from esc50tune.data.synthetic import RATE, SOUNDS, make_clip, stand_in_folder, write_stand_in
from esc50tune.errors import UserError


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("synthetic") / "stand-in"
    write_stand_in(folder)
    return read_dataset(folder)


@pytest.fixture(scope="module")
def waves(stand_in: Dataset) -> dict[Clip, np.ndarray]:
    return {clip: soundfile.read(stand_in.audio_path(clip), dtype="int16")[0] for clip in stand_in.clips}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, and clips of one sample."""
    monkeypatch.setenv("ESC50TUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(synthetic, "make_clip", lambda name, fold, take: np.zeros(1, np.int16))
    return tmp_path / "cache"


def test_it_has_ten_classes_of_forty_clips_eight_a_fold(stand_in: Dataset) -> None:
    assert len(stand_in.classes) == 10
    assert stand_in.folds == (1, 2, 3, 4, 5)
    cells = Counter((clip.category, clip.fold) for clip in stand_in.clips)
    assert len(cells) == 50
    assert set(cells.values()) == {8}


def test_its_files_are_named_as_those_of_esc50(stand_in: Dataset) -> None:
    assert sorted(path.name for path in (stand_in.root / "audio").iterdir()) == sorted(
        clip.filename for clip in stand_in.clips
    )
    for clip in stand_in.clips:
        fold, source, take, target = Path(clip.filename).stem.split("-")
        assert (int(fold), source, int(target)) == (clip.fold, clip.src_file, clip.target)
        assert take in "ABCDEFGH"


def test_its_files_are_16_bit_mono_of_two_seconds(stand_in: Dataset) -> None:
    kinds = {
        (info.format, info.subtype, info.samplerate, info.channels, info.frames)
        for info in (soundfile.info(stand_in.audio_path(clip)) for clip in stand_in.clips)
    }
    assert kinds == {("WAV", "PCM_16", 16_000, 1, 32_000)}


def test_it_is_marked_as_no_recordings(stand_in: Dataset) -> None:
    assert stand_in.is_stand_in
    assert json.loads((stand_in.root / MARK).read_text())["what"] == "procedural stand-in, no recordings"
    assert "no recordings" in stand_in.title


@pytest.mark.parametrize("name", SOUNDS)
def test_a_clip_made_again_has_the_same_samples(waves: dict[Clip, np.ndarray], name: str) -> None:
    # Backwards and out of order, so that no clip depends on those made before it.
    clips = [clip for clip in waves if clip.category == name][::-9]
    assert len(clips) == 5
    for clip in clips:
        take = ord(clip.filename.split("-")[2]) - ord("A")
        np.testing.assert_array_equal(make_clip(name, clip.fold, take), waves[clip])


def test_two_writings_have_the_same_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(synthetic, "SOUNDS", {name: SOUNDS[name] for name in ("hum", "bell")})
    monkeypatch.setattr(synthetic, "FOLDS", 1)
    contents = []
    for name in ("one", "two"):
        write_stand_in(tmp_path / name)
        paths = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append([(path.relative_to(tmp_path / name), path.read_bytes()) for path in paths])
    assert len(contents[0]) == 16 + 2
    assert contents[0] == contents[1]


def test_no_two_clips_are_equal(waves: dict[Clip, np.ndarray]) -> None:
    assert len({wave.tobytes() for wave in waves.values()}) == 400


def test_two_takes_of_a_source_differ_by_more_than_level(waves: dict[Clip, np.ndarray]) -> None:
    takes: dict[str, list[np.ndarray]] = {}
    for clip, wave in waves.items():
        takes.setdefault(clip.src_file, []).append(wave / np.abs(wave).max())
    assert sorted(Counter(map(len, takes.values())).items()) == [(1, 200), (2, 100)]
    pairs = [pair for pair in takes.values() if len(pair) == 2]
    assert min(np.abs(one - two).max() for one, two in pairs) > 0.1


@pytest.mark.parametrize("name", SOUNDS)
def test_takes_of_one_source_share_its_sound_and_others_do_not(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    # Without background and filtering, two takes differ by level and onset, which leave the spectrum's shape alone.
    monkeypatch.setattr(synthetic, "SIGNAL_TO_NOISE_DB", (200.0, 200.0))
    monkeypatch.setattr(synthetic, "coloured", lambda rng, sound: sound)
    one, same, other = (np.abs(np.fft.rfft(make_clip(name, 1, take))) for take in (0, 1, 2))
    assert np.corrcoef(one, same)[0, 1] > 0.99
    assert np.corrcoef(one, other)[0, 1] < 0.95


def test_no_source_spans_folds_or_classes(stand_in: Dataset) -> None:
    places: dict[str, set[tuple[int, str]]] = {}
    for clip in stand_in.clips:
        places.setdefault(clip.src_file, set()).add((clip.fold, clip.category))
    assert len(places) == 10 * 5 * 6
    assert all(len(place) == 1 for place in places.values())


@pytest.mark.parametrize("name", SOUNDS)
def test_levels_vary_within_every_class_and_never_clip(waves: dict[Clip, np.ndarray], name: str) -> None:
    peaks = np.array([np.abs(wave.astype(int)).max() for clip, wave in waves.items() if clip.category == name])
    decibels = 20 * np.log10(peaks / 32_767)
    assert len(decibels) == 40
    assert decibels.max() < -0.9
    assert decibels.min() > -26.1
    assert decibels.std() > 4  # evenly spread over 25 dB, it would be 7.2


def test_the_level_tells_nothing_about_the_class(waves: dict[Clip, np.ndarray]) -> None:
    peaks = {name: [np.abs(w.astype(int)).max() for c, w in waves.items() if c.category == name] for name in SOUNDS}
    means = [np.mean(20 * np.log10(peaks[name])) for name in SOUNDS]
    assert np.std(means) < 3 * 7.2 / np.sqrt(40)


def test_onsets_vary_within_a_class(waves: dict[Clip, np.ndarray]) -> None:
    # A bell's loudest moment is its stroke; anywhere in the clip, it is uniform over the two seconds.
    loudest = [np.abs(wave.astype(int)).argmax() / RATE for clip, wave in waves.items() if clip.category == "bell"]
    quarters = np.histogram(loudest, 4, (0.0, 2.0))[0]
    assert quarters.min() >= 2
    assert quarters.max() <= 25


def test_classes_differ_by_what_is_heard(waves: dict[Clip, np.ndarray]) -> None:
    # Whatever the seeds, wind is duller than rain, and a hum steadier than a clock.
    def centroid(wave: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(wave)) ** 2
        return float((power * np.fft.rfftfreq(len(wave), 1 / RATE)).sum() / power.sum())

    def unevenness(wave: np.ndarray) -> float:
        level = np.sqrt((wave.reshape(-1, 320).astype(float) ** 2).mean(1))
        return float(level.std() / level.mean())

    def median(name: str, measure: object) -> float:
        return float(np.median([measure(wave) for clip, wave in waves.items() if clip.category == name]))

    assert 2 * median("wind", centroid) < median("rain", centroid)
    assert 2 * median("hum", unevenness) < median("clock", unevenness)


def test_rising_and_falling_chirps_mirror_each_other() -> None:
    t = np.arange(RATE) / RATE
    for seed, name in itertools.product(range(3), ("rising chirps", "falling chirps")):
        wave = SOUNDS[name](np.random.default_rng(seed), t)
        frames = wave[: RATE // 256 * 256].reshape(-1, 256)
        # Zero crossings follow the pitch; a step between neighbouring loud frames is a step within one chirp.
        loud = np.sqrt((frames**2).mean(1)) > 0.4
        pitch = (np.diff(np.sign(frames), axis=1) != 0).sum(1)
        steps = np.diff(pitch)[loud[1:] & loud[:-1]]
        assert len(steps) > 3
        assert (np.median(steps) > 0) == (name == "rising chirps")


def test_it_is_written_once_into_the_cache(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = stand_in_folder()
    assert folder.parent == quick
    assert read_dataset(folder).is_stand_in
    monkeypatch.setattr(synthetic, "write_stand_in", lambda root: pytest.fail("written again"))
    assert stand_in_folder() == folder


def test_several_callers_at_once_write_it_once(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, write = [], write_stand_in
    monkeypatch.setattr(synthetic, "write_stand_in", lambda root: (written.append(root), write(root)))
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: stand_in_folder(), range(4)))
    assert len(written) == len(found) == 1


def test_a_writing_that_stops_midway_leaves_nothing_that_is_trusted(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def stop(name: str, fold: int, take: int) -> np.ndarray:
        made.append(name)
        if len(made) == 100:
            raise KeyboardInterrupt
        return np.zeros(1, np.int16)

    with monkeypatch.context() as broken:
        broken.setattr(synthetic, "make_clip", stop)
        with pytest.raises(KeyboardInterrupt):
            stand_in_folder()
    assert not [path for path in quick.iterdir() if path.is_dir()]
    assert len(read_dataset(stand_in_folder()).clips) == 400


def test_a_file_in_place_of_the_cache_is_named(quick: Path) -> None:
    quick.write_text("in the way")
    with pytest.raises(UserError, match="cannot write the stand-in") as caught:
        stand_in_folder()
    assert str(quick) in str(caught.value)
    assert "ESC50TUNE_CACHE" in str(caught.value)
