"""What is to be heard in these recordings, says the best confirmed arm of a sweep: labels, with their probabilities."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esc50tune.command import OneSentenceParser, add_model, at_least, busy, end_with
from esc50tune.errors import UserError, printable
from esc50tune.winner.chosen import choose

if TYPE_CHECKING:
    import numpy as np

    from esc50tune.winner.listening import Heard

# What is taken of a folder: what libsndfile reads, and at the end what it does not read, so that it is named.
READ = (".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".rf64", ".snd", ".w64")
AUDIO = (*READ, ".wav", ".wave", ".aac", ".m4a", ".wma")


def make_parser() -> argparse.ArgumentParser:
    parser = OneSentenceParser(prog="python -m esc50tune.predict", description=__doc__, allow_abbrev=False)
    add_model(parser)
    parser.add_argument(
        "audio", nargs="+", type=Path, metavar="FILE|FOLDER", help="recordings of any length and rate; folders of them"
    )
    parser.add_argument("--top", type=at_least(1), default=5, help="labels of each recording (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON, with each window of a long recording")
    return parser


def main() -> int:
    args = make_parser().parse_args()
    paths, chosen = audio_files(args.audio), choose(args.model, args.search)
    # late, so that neither --help nor a mistyped name waits for torch
    with busy("loading PyTorch"):
        from esc50tune.trial import default_device
        from esc50tune.winner.described import facts, lines
        from esc50tune.winner.listening import hear
        from esc50tune.winner.predictor import load_predictor

    device, failed = default_device(), {}
    predictor = load_predictor(chosen).to(device)
    heard = hear(predictor, paths, device, failed)
    if args.json:
        model = {"checkpoint": str(chosen.checkpoint), **facts(chosen, predictor)}
        files = [as_json(one, predictor.classes, args.top) for one in heard]
        bad = [{"file": str(path), "error": why} for path, why in failed.items()]
        print(json.dumps({"model": model, "files": files, "failed": bad}, indent=2))
    else:
        for line in chain(lines(chosen, predictor), (as_line(one, predictor.classes, args.top) for one in heard)):
            print(printable(line))
    for path, why in failed.items():
        print(printable(f"error: '{path}' cannot be used: {why}"), file=sys.stderr)
    return 1 if failed else 0


def audio_files(named: Iterable[Path]) -> list[Path]:
    """Return the files that are named, and those with audio in folders that are named and below, sorted; each once.

    Raises:
        UserError: a name is neither, or a folder has no audio.
    """
    found: dict[Path, None] = {}
    for path in named:
        try:
            files = [path] if path.is_file() else sorted(audio_below(path)) if path.is_dir() else []
            there = path.exists()
        except OSError as error:  # no permission, or a name too long
            raise UserError(f"'{path}' cannot be read: {error.strerror}") from None
        if not files:
            raise UserError(f"no audio file in the folder '{path}'" if there else f"no file or folder '{path}'")
        found |= dict.fromkeys(files)
    return list(found)


def audio_below(folder: Path) -> Iterator[Path]:
    """Yield the audio files of a folder and the folders in it, but hidden ones: systems leave notes of their own."""
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in AUDIO and not hidden and path.is_file():
            yield path


def best(probabilities: np.ndarray, classes: list[str], top: int) -> list[tuple[str, float]]:
    """Return the likeliest labels with their probabilities, likeliest first."""
    order = (-probabilities).argsort(kind="stable")[:top]
    return [(classes[i], float(probabilities[i])) for i in order]


def as_line(heard: Heard, classes: list[str], top: int) -> str:
    labels = ", ".join(f"{label} {100 * p:.1f} %" for label, p in best(heard.probabilities, classes, top))
    count = len(heard.windows)
    long = f" ({heard.seconds:.1f} s, mean of {count} windows)" if count > 1 else ""
    return f"{heard.path}{long}: {labels}"


def as_json(heard: Heard, classes: list[str], top: int) -> dict[str, Any]:
    """Return what is heard in a file; times in seconds from its start."""

    def labels(probabilities: np.ndarray) -> list[dict[str, Any]]:
        return [{"label": label, "probability": round(p, 6)} for label, p in best(probabilities, classes, top)]

    windows = [
        {"start": round(start, 3), "end": round(end, 3), "labels": labels(probabilities)}
        for start, end, probabilities in heard.windows
    ]
    told = {"file": str(heard.path), "seconds": round(heard.seconds, 3), "labels": labels(heard.probabilities)}
    return told | {"windows": windows}


if __name__ == "__main__":
    end_with(main)
