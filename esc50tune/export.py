"""Writes the best confirmed arm of a sweep as an ONNX file, waveforms in and logits out, checked with onnxruntime to
compute the same."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

from esc50tune.command import OneSentenceParser, add_model, busy, end_with
from esc50tune.errors import UserError, printable
from esc50tune.winner.chosen import choose

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def make_parser() -> argparse.ArgumentParser:
    parser = OneSentenceParser(prog="python -m esc50tune.export", description=__doc__, allow_abbrev=False)
    add_model(parser)
    parser.add_argument("out", type=Path, metavar="OUT.onnx", help="file to write")
    return parser


def main() -> int:
    args = make_parser().parse_args()
    chosen = choose(args.model, args.search)
    check_place(args.out)
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise UserError(f"the package {missing[0]} is not installed: `pip install -r requirements.txt` brings it")
    # late, so that neither --help nor a mistyped name waits for torch
    with busy("loading PyTorch"):
        from esc50tune.winner.described import facts, lines
        from esc50tune.winner.onnx_file import CLIPS, write_checked
        from esc50tune.winner.predictor import load_predictor

    predictor = load_predictor(chosen)
    difference = write_checked(predictor, facts(chosen, predictor), args.out)
    size, shapes = args.out.stat().st_size / 1e6, f"[batch, 1, {predictor.length}], [batch, {len(predictor.classes)}]"
    for line in (
        *lines(chosen, predictor),
        f"written   {args.out}, {size:.1f} MB: waves to logits, {shapes}",
        f"checked   {CLIPS} random clips in onnxruntime: logits differ from torch's by {difference:.0e} at most",
    ):
        print(printable(line))
    return 0


def check_place(out: Path) -> None:
    """Raise UserError where no file can be written."""
    try:
        if out.is_dir():
            raise UserError(f"'{out}' is a folder: name a file in it")
        if not out.parent.is_dir():
            raise UserError(f"no folder '{out.parent}' to write '{out.name}' in")
    except OSError as error:  # no permission, or a name too long
        raise UserError(f"'{out}' cannot be written: {error.strerror}") from None


if __name__ == "__main__":
    end_with(main)
