"""Decoding one recording, against samples whose values are known."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from esc50tune.data.audio import BadAudio, Recording, fit_clip, read_recording

RATE = 16_000


def tone(pitch: float = 1_000.0, rate: int = RATE, seconds: float = 1.0, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * pitch * np.arange(round(rate * seconds)) / rate)


def noisy(seconds: float = 1.0) -> np.ndarray:
    size = round(RATE * seconds)
    return np.clip(np.random.default_rng(0).normal(0, 0.2, size), -0.9, 0.9)


def encoded(samples: np.ndarray, file_format: str, subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format=file_format, subtype=subtype)
    return buffer.getvalue()


def reason(path: Path) -> str:
    with pytest.raises(BadAudio) as caught:
        read_recording(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("suffix", "file_format", "subtype", "tolerance"),
    [
        ("wav", "WAV", "PCM_U8", 1 / 128),
        ("wav", "WAV", "PCM_16", 1 / 32_768),
        ("wav", "WAV", "PCM_24", 1 / 2**23),
        ("wav", "WAV", "PCM_32", 1 / 2**23),
        ("wav", "WAV", "FLOAT", 1e-7),
        ("wav", "WAV", "DOUBLE", 1e-7),
        ("wav", "WAVEX", "PCM_16", 1 / 32_768),
        ("flac", "FLAC", "PCM_S8", 1 / 128),
        ("flac", "FLAC", "PCM_16", 1 / 32_768),
        ("flac", "FLAC", "PCM_24", 1 / 2**23),
        ("aiff", "AIFF", "PCM_16", 1 / 32_768),
        ("aiff", "AIFF", "PCM_24", 1 / 2**23),
    ],
)
def test_every_lossless_format_gives_back_its_samples(
    tmp_path: Path, suffix: str, file_format: str, subtype: str, tolerance: float
) -> None:
    path, samples = tmp_path / f"a.{suffix}", tone()
    path.write_bytes(encoded(samples, file_format, subtype))
    recording = read_recording(path)
    assert (recording.rate, recording.channels, recording.samples.dtype) == (RATE, 1, np.float32)
    np.testing.assert_allclose(recording.samples, samples, atol=tolerance)


def test_vorbis_gives_a_sound_of_the_same_length_close_to_the_original(tmp_path: Path) -> None:
    path, samples = tmp_path / "a.ogg", tone()
    path.write_bytes(encoded(samples, "OGG", "VORBIS"))
    recording = read_recording(path)
    assert len(recording.samples) == len(samples)
    assert np.corrcoef(recording.samples, samples)[0, 1] > 0.99


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = tone(440), tone(1_250)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), RATE, subtype="FLOAT")
    recording = read_recording(tmp_path / "a.wav")
    assert recording.channels == 2
    np.testing.assert_allclose(recording.samples, (left + right) / 2, atol=1e-6)


def test_opposite_channels_cancel(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([tone(), -tone()], 1), RATE, subtype="FLOAT")
    assert not read_recording(tmp_path / "a.wav").samples.any()


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    assert reason(tmp_path / "a.wav") == "missing"


def test_a_folder_is_no_recording(tmp_path: Path) -> None:
    assert reason(tmp_path) == "missing"


def test_a_name_too_long_for_the_disk_is_a_bad_file(tmp_path: Path) -> None:
    assert "long" in reason(tmp_path / ("a" * 300 + ".wav"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty file"),
        (b"RIFF", "not audio, or damaged"),
        (b"this is a text file\n" * 100, "not audio, or damaged"),
        (bytes(5_000), "not audio, or damaged"),
        (b"OggS", "not audio, or damaged"),
        (b"fLaC" + bytes(100), "not audio, or damaged"),
    ],
    ids=["empty", "four letters", "text", "zeros", "ogg mark", "flac mark"],
)
def test_a_file_that_is_no_audio_is_called_so(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    assert reason(tmp_path / "a.wav") == expected


def test_a_file_that_tells_no_rate_is_called_no_audio(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(encoded(tone(), "RAW", "PCM_16"))
    assert reason(tmp_path / "a.raw") == "not audio, or damaged"


@pytest.mark.parametrize("name", ["a.raw", "a.sd2", "a"])
def test_what_a_file_is_its_content_tells_and_not_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(encoded(tone(), "WAV"))
    assert len(read_recording(tmp_path / name).samples) == RATE


def test_the_note_that_macos_leaves_beside_a_file_is_no_part_of_it(tmp_path: Path) -> None:
    """AppleDouble, as copying to a disk of another system leaves it: libsndfile takes it for a resource fork."""
    soundfile.write(tmp_path / "a.mp3", tone(), RATE, format="MP3")
    (tmp_path / "._a.mp3").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(200))
    recording = read_recording(tmp_path / "a.mp3")
    assert (recording.rate, len(recording.samples)) == (RATE, RATE)


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff"])
def test_a_file_of_no_samples_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.zeros(0), RATE)
    assert reason(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_that_are_no_numbers_are_refused(tmp_path: Path, value: float, channels: int) -> None:
    samples = np.tile(tone()[:, None], (1, channels))
    samples[7_000, -1] = value
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    assert reason(tmp_path / "a.wav") == "samples that are not numbers"


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("file_format", ["WAV", "WAVEX", "FLAC", "OGG", "AIFF"])
def test_a_file_cut_short_is_refused(tmp_path: Path, file_format: str, share: float) -> None:
    content = encoded(noisy(8.0), file_format)
    path = tmp_path / "a"
    path.write_bytes(content)
    assert len(read_recording(path).samples) == 8 * RATE
    path.write_bytes(content[: round(share * len(content))])
    assert reason(path)


def test_an_ogg_stream_is_refused_wherever_in_its_last_pages_it_is_cut(tmp_path: Path) -> None:
    content = encoded(noisy(8.0), "OGG")
    pages = [match.start() for match in re.finditer(b"OggS", content)]
    path = tmp_path / "a.ogg"
    # The last page has 27 bytes of header, then the lengths of its segments, then the segments.
    offsets = [0, 1, 4, 5, 6, 26, 27, 28, 40, 300]
    for end in [page + offset for page in pages[-2:] for offset in offsets] + [len(content) - 1]:
        path.write_bytes(content[:end])
        assert reason(path), f"cut at {end} of {len(content)}"


@pytest.mark.parametrize("seconds", [0.05, 0.3, 1.0, 8.0])
def test_an_ogg_stream_that_ends_as_it_should_is_accepted(tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes(encoded(noisy(seconds), "OGG"))
    assert len(read_recording(path).samples) == round(seconds * RATE)


@pytest.mark.parametrize("sizes", [b"\xff" * 4, None], ids=["both sizes unknown", "data size known"])
def test_a_wav_written_to_a_pipe_is_accepted(tmp_path: Path, sizes: bytes | None) -> None:
    content = bytearray(encoded(tone(), "WAV", "PCM_16"))
    assert content[36:40] == b"data"
    content[4:8] = b"\xff" * 4
    content[40:44] = sizes or content[40:44]
    (tmp_path / "a.wav").write_bytes(content)
    np.testing.assert_allclose(read_recording(tmp_path / "a.wav").samples, tone(), atol=1 / 32_768)


def test_a_wav_of_odd_size_needs_no_padding_byte(tmp_path: Path) -> None:
    content = encoded(tone()[:999], "WAV", "PCM_U8")
    announced = struct.unpack("<I", content[4:8])[0]
    (tmp_path / "a.wav").write_bytes(content[: 44 + 999])
    assert announced + 8 >= 44 + 999
    assert len(read_recording(tmp_path / "a.wav").samples) == 999


@pytest.mark.parametrize("frames", [0, 2**36 - 1], ids=["unknown", "absurd"])
def test_a_flac_that_does_not_know_its_length_is_a_bad_file(tmp_path: Path, frames: int) -> None:
    content = bytearray(encoded(tone(), "FLAC"))
    # STREAMINFO's count of samples: 36 bits that end with byte 25.
    content[21] = content[21] & 0xF0 | frames >> 32
    content[22:26] = struct.pack(">I", frames & 0xFFFFFFFF)
    (tmp_path / "a.flac").write_bytes(content)
    assert reason(tmp_path / "a.flac")


@pytest.mark.parametrize("file_format", ["WAV", "FLAC", "OGG", "AIFF"])
def test_a_damaged_header_is_never_another_error(tmp_path: Path, file_format: str) -> None:
    rng, content, refused = np.random.default_rng(3), encoded(tone(seconds=0.05), file_format), 0
    path = tmp_path / "a"
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(0, min(len(content), 120), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            assert len(read_recording(path).samples) > 0
        except BadAudio:
            refused += 1
    assert refused > 0


def spectrum_peak(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


@pytest.mark.parametrize("source_rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_resampling_keeps_the_frequency_and_the_level_of_a_tone(source_rate: int, rate: int) -> None:
    recording = Recording(tone(rate=source_rate).astype(np.float32), source_rate, 1)
    clip = fit_clip(recording, rate, rate) / 32_768
    inside = clip[rate // 10 : -rate // 10]  # away from the edges, where the filter sees silence
    assert spectrum_peak(inside, rate) == pytest.approx(1_000, abs=rate / len(inside))
    assert np.sqrt(2 * np.mean(inside**2)) == pytest.approx(0.5, rel=0.01)


def test_resampling_removes_what_the_new_rate_cannot_hold() -> None:
    recording = Recording(tone(pitch=6_000, rate=44_100).astype(np.float32), 44_100, 1)
    clip = fit_clip(recording, 8_000, 8_000)[400:-400] / 32_768
    assert np.abs(clip).max() < 0.01  # unfiltered, it would sound at 2 kHz


def test_resampled_clips_have_the_asked_length() -> None:
    recording = Recording(np.full(44_100, 0.25, np.float32), 44_100, 1)
    clip = fit_clip(recording, 16_000, 20_000)
    assert clip.shape == (20_000,)
    np.testing.assert_allclose(clip[500:15_500] / 32_768, 0.25, atol=0.01)
    assert not clip[16_000:].any()


WAVE = np.array([0.5, -0.5, 0.25, -1.0], np.float32)


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (4, [16_384, -16_384, 8_192, -32_768]),
        (7, [16_384, -16_384, 8_192, -32_768, 0, 0, 0]),
        (2, [16_384, -16_384]),
    ],
    ids=["as it is", "padded at the end", "cut at the end"],
)
def test_clips_are_padded_with_zeros_or_cut_at_the_end(length: int, expected: list[int]) -> None:
    clip = fit_clip(Recording(WAVE, RATE, 1), RATE, length)
    assert clip.dtype == np.int16
    assert clip.tolist() == expected


def test_16_bit_samples_come_through_unchanged(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-32_768, 32_768, 3_000).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="PCM_16")
    np.testing.assert_array_equal(fit_clip(read_recording(tmp_path / "a.wav"), RATE, 3_000), samples)


@pytest.mark.parametrize("level", [1.0, 1.5, 1e6])
def test_loud_samples_are_clipped_and_never_wrap_around(level: float) -> None:
    samples = np.array([level, -level, 0.0], np.float32)
    assert fit_clip(Recording(samples, RATE, 1), RATE, 3).tolist() == [32_767, -32_768, 0]


def square(rate: int) -> np.ndarray:
    return np.sign(tone(pitch=500, rate=rate) + 1e-9)


@pytest.mark.parametrize("make", [square, lambda rate: tone(rate=rate, level=3.0)], ids=["overshoot", "too loud"])
def test_peaks_that_resampling_makes_never_wrap_around(make: Callable[[int], np.ndarray]) -> None:
    recording = Recording(make(44_100).astype(np.float32), 44_100, 1)
    clip = fit_clip(recording, 16_000, 16_000).astype(int)
    ideal = make(16_000)
    loud = np.abs(ideal) > 0.5
    loud[:200] = loud[-200:] = False
    # Beside a jump of the square wave either sign is right.
    loud[1:-1] &= (np.sign(ideal[:-2]) == np.sign(ideal[1:-1])) & (np.sign(ideal[2:]) == np.sign(ideal[1:-1]))
    assert clip.max() == 32_767
    assert clip.min() == -32_768
    assert (np.sign(clip[loud]) == np.sign(ideal[loud])).all()
