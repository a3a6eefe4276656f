"""EnCodec's view of the clips, computed once: the encoder's output before quantisation, and the codes made from it.

EnCodec: Défossez et al. 2022, arXiv 2210.13438. The package `encodec` 0.1.1 is CC BY-NC 4.0 and is imported only here,
only when its features are asked for.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import urllib.error
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from rich.progress import Progress, TaskID
from scipy.cluster.vq import kmeans2, vq

from esc50tune.data.cache import INDEX, ClipCache, cache_root, open_array, save_array
from esc50tune.data.clips import ClipSet, check_classes
from esc50tune.errors import UserError
from esc50tune.seeds import derive_seed

RATE = 24_000  # Hz; the model takes no other
HOP = 320  # samples a frame: 75 frames a second
CODEBOOK_SIZE = 1024
FILE = "encodec_24khz-d7cc33bc.th"  # the published weights; the package downloads and checks them
SHA256 = "d7cc33bc"  # its first digits, as the file's name has them
BANDWIDTHS = (1.5, 3.0, 6.0, 12.0, 24.0)  # kbit/s: 2, 4, 8, 16, 32 codebooks
BLOCK = 32  # clips that are written together
KMEANS_FRAMES = 20_000  # of the training clips, for the codebooks of the untrained encoder
KMEANS_ROUNDS = 10  # for each of them
UNTRAINED_SEED = 0  # one fixed random encoder, so that it is the same control in every trial

# Raise VERSION whenever the same clips and weights would give other latents: another release of the package, scale,
# precision or seed of the encoder, or layout of the files; the codes are made anew with them. Raise CODES_VERSION
# whenever the same latents would give other codes: k-means, its frames, rounds or seed, or the clips that it sees.
VERSION = 1
CODES_VERSION = 1


def codebooks(bandwidth: float) -> int:
    """Return how many codebooks a bandwidth in kbit/s buys: 10 bits a code, 75 codes a second of each."""
    return round(bandwidth * 1000 / (math.log2(CODEBOOK_SIZE) * RATE / HOP))


def open_latents(waves: ClipCache, weights: str, bandwidth: float, train: tuple[int, ...]) -> ClipCache:
    """Return the encoded clips of `waves` (24 kHz); encode them first where that was not done yet.

    `fold(n)` of what it returns is the encoder's output, float32 [clips, 128, frames], and `codes(n)` its codes, int16
    [clips, codebooks, frames]. The clips are encoded once for all bandwidths and training folds; only the codes differ.
    An interrupted run goes on with the fold it was at; of several processes one computes and the others wait.

    Args:
        waves: decoded clips at 24 kHz.
        weights: 'pretrained', 'untrained', or the path of a state dict of EnCodec's 24 kHz model.
        bandwidth: kbit/s; it sets how many codebooks the codes have.
        train: training folds; the codebooks of the untrained encoder are fitted on their clips alone, without those
            whose source is heard in another fold.

    Raises:
        UserError: the weights cannot be had, or are no EnCodec weights; the cache cannot be written; or codebooks are
            to be fitted and a class has no training clip.
    """
    folder = cache_root() / "latents" / f"{waves.folder.name}-encodec-v{VERSION}-{fingerprint(weights)}"
    # Which folds do not train says which do, and they are few, however many the data have.
    fitted = "-without" + "-".join(map(str, held_out(waves, train))) if weights == "untrained" else ""
    coded = folder / f"codes-v{CODES_VERSION}-{bandwidth:g}kbps{fitted}"
    try:
        make_once(folder, lambda: encode_all(waves, weights, folder))
        make_once(coded, lambda: code_all(ClipCache.at(folder), weights, bandwidth, train, coded))
    except OSError as error:
        raise UserError(
            f"cannot write the cache '{folder}': {error.strerror or error}; point ESC50TUNE_CACHE elsewhere"
        ) from None
    return ClipCache.at(coded)


def make_once(folder: Path, make: Callable[[], None]) -> None:
    """Call `make`, whose last deed is the folder's index, where there is none; of several processes one does."""
    if not (folder / INDEX).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not (folder / INDEX).is_file():
                make()


def fingerprint(weights: str) -> str:
    """Name the weights: two files are the same weights if their content is."""
    if weights in ("pretrained", "untrained"):
        return weights
    return hashlib.sha256(weights_file(weights).read_bytes()).hexdigest()[:16]


def check_unchanged(encoders: dict[str, str]) -> None:
    """Compare weights with their fingerprints.

    Raises:
        UserError: a file has another content now, or is gone.
    """
    for weights, before in encoders.items():
        if fingerprint(weights) != before:
            raise UserError(f"EnCodec's weights '{weights}' are not those of the sweep any more: put them back")


def weights_file(weights: str) -> Path:
    """Return where a file of weights lies, named by its own path or by that of its folder.

    Raises:
        UserError: it is not there.
    """
    path = Path(weights)
    try:
        path = path.expanduser()
        path = path / FILE if path.is_dir() else path
        found = path.is_file()
    except (OSError, RuntimeError):  # a name too long, a folder that cannot be looked into, or the home of no user
        found = False
    if not found:
        raise UserError(f"--encodec-weights: no file '{path}'; give pretrained, untrained, or the path of '{FILE}'")
    return path


def load_encodec(weights: str) -> Any:
    """Return EnCodec's 24 kHz model with the weights asked for, never with others.

    Raises:
        UserError: they cannot be downloaded or read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # its weight norm is torch's old one
        from encodec import EncodecModel

        if weights == "pretrained":
            check_published()
            try:
                return EncodecModel.encodec_model_24khz(pretrained=True)
            except (urllib.error.URLError, OSError, RuntimeError) as error:
                place = Path(torch.hub.get_dir()) / "checkpoints"
                raise UserError(
                    f"EnCodec's weights could not be downloaded ({error}); put the file '{FILE}' into '{place}', or "
                    "name it by --encodec-weights PATH"
                ) from None
        with torch.random.fork_rng([]):
            torch.manual_seed(derive_seed(UNTRAINED_SEED, "untrained encoder"))
            model = EncodecModel.encodec_model_24khz(pretrained=False)
    if weights != "untrained":
        load_weights(model, weights_file(weights))
    return model


@cache
def check_weights(weights: str) -> None:
    """Raise UserError where a file of weights that lies there is not what it should be."""
    if weights == "pretrained":
        check_published()
    elif weights != "untrained":
        load_encodec(weights)


def check_published() -> None:
    """Refuse a file that has the published weights' name and is not theirs; torch checks only what it downloads."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if path.is_file() and not hashlib.sha256(path.read_bytes()).hexdigest().startswith(SHA256):
        raise UserError(
            f"'{path}' is not EnCodec's published file: its checksum differs; delete it, or put the right one"
        )


def load_weights(model: Any, path: Path) -> None:
    try:
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception:  # whatever a file that is no pickle makes the unpickler raise
        raise UserError(f"'{path}' does not hold the weights of EnCodec's 24 kHz model, as '{FILE}' does") from None


def load_encoder(weights: str) -> torch.nn.Module:
    """Return EnCodec's encoder with the weights asked for: waveforms [B, 1, T] at 24 kHz to latents [B, 128, frames].

    Raises:
        UserError: they cannot be downloaded or read.
    """
    encoder = load_encodec(weights).encoder
    for module in encoder.modules():  # or every clip would compute the weights anew
        if hasattr(module, "weight_g"):
            torch.nn.utils.remove_weight_norm(module)
    return encoder


def encoder_device() -> torch.device:
    torch.backends.cudnn.allow_tf32 = False  # fp32 is fp32, on a GPU too: codes turn over at small differences
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@torch.no_grad()
def encode_all(waves: ClipCache, weights: str, folder: Path) -> None:
    """Write the latents of each fold that has none yet; the index comes last."""
    device = encoder_device()
    encoder = load_encoder(weights).to(device)
    total = sum(len(rows) for rows in waves.labels.values())
    if not sys.stdout.isatty():  # there, the bar says it
        print(f"encoding {total} clips by EnCodec, {Path(weights).name}", flush=True)
    with Progress(transient=True) as progress:
        task = progress.add_task(f"encoding {total} clips by EnCodec", total=total)
        for fold, rows in waves.labels.items():
            path = folder / f"fold-{fold}.npy"
            if path.is_file():
                progress.advance(task, len(rows))
                continue
            parts = [encode_part(encoder, clips, path, device, progress, task) for clips in blocks(waves.fold(fold))]
            save_array(path, np.concatenate([open_array(part) for part in parts]))
            for part in parts:
                part.unlink()
    write_index(folder, waves)


def blocks(clips: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield a fold's clips in blocks, each with its number: what was encoded before an interrupt is kept."""
    for number, start in enumerate(range(0, len(clips), BLOCK)):
        yield number, clips[start : start + BLOCK]


def encode_part(
    encoder: torch.nn.Module,
    block: tuple[int, np.ndarray],
    path: Path,
    device: torch.device,
    progress: Progress,
    task: TaskID,
) -> Path:
    """Write the latents of one block of a fold, where they are not there, beside the fold's own file; return where."""
    number, clips = block
    part = path.with_name(f"{path.stem}-part-{number}.npy")
    if part.is_file():
        progress.advance(task, len(clips))
        return part
    encoded = []
    for clip in clips:  # one by one: on a CPU batches are slower, clip for clip
        wave = torch.from_numpy(clip.astype(np.float32) / 32_768.0)[None, None].to(device)
        encoded.append(encoder(wave)[0].cpu().numpy())
        progress.advance(task)
    save_array(part, np.stack(encoded))
    return part


@torch.no_grad()
def code_all(latents: ClipCache, weights: str, bandwidth: float, train: tuple[int, ...], folder: Path) -> None:
    """Write the codes of every fold, by codebooks that are fitted first if they are to be; the index comes last.

    The 24 kHz model scales nothing and cuts no segments, so these are the codes that its own `encode` gives.
    """
    device, number = encoder_device(), codebooks(bandwidth)
    quantizer = load_encodec(weights).quantizer
    total = sum(len(rows) for rows in latents.labels.values())
    with Progress(transient=True) as progress:
        if weights == "untrained":
            frames = draw_frames(training_clips(latents, train))
            fitting = progress.add_task(f"fitting {number} codebooks", total=number * KMEANS_ROUNDS)
            fit_codebooks(quantizer, frames, number, lambda: progress.advance(fitting))
        quantizer.to(device)
        task = progress.add_task(f"coding {total} clips by {number} codebooks", total=total)
        for fold in latents.labels:
            codes = []
            for clip in latents.fold(fold):
                latent = torch.from_numpy(np.array(clip))[None].to(device)
                codes.append(quantizer.vq.encode(latent, n_q=number)[:, 0].cpu().numpy().astype(np.int16))
                progress.advance(task)
            save_array(folder / f"codes-{fold}.npy", np.stack(codes))
    write_index(folder, latents, latents="..")


def write_index(folder: Path, clips: ClipCache, **more: str) -> None:
    """Write what says that the folder is complete, in one step."""
    index = {"classes": clips.classes, "labels": clips.labels, "sources": clips.sources, "facts": clips.facts, **more}
    temporary = folder / f".{INDEX}"
    temporary.write_text(json.dumps(index))
    temporary.replace(folder / INDEX)


def held_out(clips: ClipCache, train: tuple[int, ...]) -> list[int]:
    return [fold for fold in clips.labels if fold not in train]


def training_clips(clips: ClipCache, train: tuple[int, ...]) -> ClipSet:
    """Return the clips that a training on the folds `train` uses: none whose source is heard in another fold."""
    heard = {source for fold in held_out(clips, train) for source in clips.sources[fold]}
    chosen = ClipSet(clips, sorted(train), without=heard)
    check_classes(chosen, clips, train)
    return chosen


def draw_frames(clips: ClipSet) -> np.ndarray:
    """Draw frames [at most KMEANS_FRAMES, 128] of latents, in an order that is the same every time."""
    latents = clips.waves(range(len(clips))).numpy()  # [clips, 128, frames]
    rng = np.random.default_rng(derive_seed(UNTRAINED_SEED, "frames"))
    clip, frame = np.divmod(rng.permutation(len(latents) * latents.shape[2])[:KMEANS_FRAMES], latents.shape[2])
    return latents[clip, :, frame]


def fit_codebooks(quantizer: Any, frames: np.ndarray, number: int, step: Callable[[], object]) -> None:
    """Fit the first codebooks of a residual quantiser by k-means, each on what those before it leave of the frames.

    Args:
        quantizer: EnCodec's; its codebooks are replaced.
        frames: float32 [frames, channels].
        number: how many codebooks.
        step: called after each of the KMEANS_ROUNDS of each codebook.
    """
    rng = np.random.default_rng(derive_seed(UNTRAINED_SEED, "codebooks"))
    residual = frames
    for layer in quantizer.vq.layers[:number]:
        size = layer.codebook_size
        centres = residual[rng.choice(len(residual), size, replace=len(residual) < size)]
        for _ in range(KMEANS_ROUNDS):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # an empty cluster keeps its last centre
                centres, _ = kmeans2(residual, centres, iter=1, minit="matrix")
            step()
        layer.codebook.copy_(torch.from_numpy(centres))
        residual = residual - centres[vq(residual, centres)[0]]  # nearest to the last centres, as frames are coded
