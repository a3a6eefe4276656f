"""EnCodec's view of the clips, computed once: the encoder's output before quantisation, and the codes.

EnCodec: Défossez et al. 2022, arXiv 2210.13438. The package `encodec` 0.1.1 is CC BY-NC 4.0 and is imported only here,
only when its features are asked for.
"""

from __future__ import annotations

import hashlib
import json
import math
import urllib.error
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from rich.progress import Progress
from scipy.cluster.vq import kmeans2
from torch import Tensor

from esc50tune.data.cache import INDEX, ClipCache, cache_root, save_array
from esc50tune.errors import UserError
from esc50tune.seeds import derive_seed

RATE = 24_000  # Hz; the model takes no other
HOP = 320  # samples a frame: 75 frames a second
CODEBOOK_SIZE = 1024
FILE = "encodec_24khz-d7cc33bc.th"  # the published weights; the package downloads and checks them
SHA256 = "d7cc33bc"  # its first digits, as the file's name has them
BANDWIDTHS = (1.5, 3.0, 6.0, 12.0, 24.0)  # kbit/s: 2, 4, 8, 16, 32 codebooks
KMEANS_FRAMES = 20_000  # of the training folds, for the codebooks of the untrained encoder
UNTRAINED_SEED = 0  # one fixed random encoder, so that it is the same control in every trial


def codebooks(bandwidth: float) -> int:
    """Return how many codebooks a bandwidth in kbit/s buys: 10 bits a code, 75 codes a second of each."""
    return round(bandwidth * 1000 / (math.log2(CODEBOOK_SIZE) * RATE / HOP))


def open_latents(waves: ClipCache, weights: str, bandwidth: float, train: tuple[int, ...]) -> ClipCache:
    """Return the encoded clips of `waves` (24 kHz); encode them first where that was not done yet.

    `fold(n)` of what it returns is the encoder's output, float32 [clips, 128, frames], and `codes(n)` its codes.
    An interrupted run goes on with the fold it was at; of several processes one encodes and the others wait.

    Args:
        waves: decoded clips at 24 kHz.
        weights: 'pretrained', 'untrained', or the path of a state dict of EnCodec's 24 kHz model.
        bandwidth: kbit/s; it sets how many codebooks the codes have.
        train: training folds; the codebooks of the untrained encoder are fitted on them alone.

    Raises:
        UserError: the weights cannot be had, or are no EnCodec weights.
    """
    fitted = f"-folds{''.join(map(str, train))}" if weights == "untrained" else ""
    key = f"{waves.folder.name}-encodec-{fingerprint(weights)}-{bandwidth:g}kbps{fitted}"
    folder = cache_root() / "latents" / key
    if not (folder / INDEX).is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):
                if not (folder / INDEX).is_file():
                    encode_all(waves, weights, bandwidth, train, folder)
        except OSError as error:
            raise UserError(
                f"cannot write the cache '{folder}': {error.strerror or error}; point ESC50TUNE_CACHE elsewhere"
            ) from None
    return ClipCache.at(folder)


def fingerprint(weights: str) -> str:
    """Name the weights: two files are the same weights if their content is."""
    if weights in ("pretrained", "untrained"):
        return weights
    return hashlib.sha256(weights_file(weights).read_bytes()).hexdigest()[:16]


def weights_file(weights: str) -> Path:
    path = Path(weights).expanduser()
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
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


@torch.no_grad()
def encode_all(waves: ClipCache, weights: str, bandwidth: float, train: tuple[int, ...], folder: Path) -> None:
    """Encode every fold, then fit codebooks if they are to be fitted, then write the codes; the index comes last."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = load_encodec(weights).to(device)
    for module in model.encoder.modules():  # or every clip would compute the weights anew
        if hasattr(module, "weight_g"):
            torch.nn.utils.remove_weight_norm(module)
    total = sum(len(rows) for rows in waves.labels.values())
    with Progress(transient=True) as progress:
        task = progress.add_task(f"encoding {total} clips by EnCodec", total=total)
        for fold, rows in waves.labels.items():
            if not (folder / f"fold-{fold}.npy").is_file():
                clips = waves.fold(fold)
                encoded = []
                for clip in clips:  # one by one: on a CPU batches are slower, clip for clip
                    wave = torch.from_numpy(clip.astype(np.float32) / 32_768.0)[None, None].to(device)
                    encoded.append(model.encoder(wave)[0].cpu().numpy())
                    progress.advance(task)
                save_array(folder / f"fold-{fold}.npy", np.stack(encoded))
            else:
                progress.advance(task, len(rows))
    latents = {fold: np.load(folder / f"fold-{fold}.npy", mmap_mode="r") for fold in waves.labels}
    if weights == "untrained":
        codebooks = model.quantizer.get_num_quantizers_for_bandwidth(model.frame_rate, bandwidth)
        fit_codebooks(model, np.concatenate([latents[fold] for fold in train]), codebooks)
    for fold, encoded in latents.items():
        codes = [quantize(model, torch.from_numpy(np.array(clip)), bandwidth, device) for clip in encoded]
        save_array(folder / f"codes-{fold}.npy", np.stack(codes))
    index = {"classes": waves.classes, "labels": waves.labels, "sources": waves.sources, "facts": waves.facts}
    temporary = folder / f".{INDEX}"
    temporary.write_text(json.dumps(index))
    temporary.replace(folder / INDEX)


def quantize(model: Any, latent: Tensor, bandwidth: float, device: torch.device) -> np.ndarray:
    """Return the codes [codebooks, frames] of one clip's latents [128, frames]."""
    codes = model.quantizer.encode(latent[None].to(device), model.frame_rate, bandwidth)  # [codebooks, 1, frames]
    return codes[:, 0].cpu().numpy().astype(np.int16)


def fit_codebooks(model: Any, latents: np.ndarray, codebooks: int) -> None:
    """Fit residual k-means codebooks on training latents [clips, 128, frames], as the trained quantizer has them."""
    rng = np.random.default_rng(derive_seed(UNTRAINED_SEED, "codebooks"))
    frames = latents.transpose(0, 2, 1).reshape(-1, latents.shape[1])
    residual = frames[rng.permutation(len(frames))[:KMEANS_FRAMES]].astype(np.float32)
    for layer in model.quantizer.vq.layers[:codebooks]:
        book = layer._codebook
        size = book.embed.shape[0]
        start = residual[rng.choice(len(residual), size, replace=len(residual) < size)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty cluster keeps its last centre
            centres, nearest = kmeans2(residual, start, iter=10, minit="matrix")
        book.embed.copy_(torch.from_numpy(centres))
        book.inited.fill_(1)
        residual = residual - centres[nearest]
