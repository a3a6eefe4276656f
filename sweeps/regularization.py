"""Which regularizers help a 1d ConvNeXt? Sweeps the baseline, the plain ConvNeXt, and one arm for each method."""

from __future__ import annotations

import sys
from pathlib import Path

# So that `python sweeps/regularization.py` finds the packages without an installation.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from sweeps.cli import make_parser, run_script

ARMS = ("baseline", "convnext", "dropout", "drop-path", "label-smoothing", "mixup", "shift", "all")


def main() -> int:
    args = make_parser(__doc__, ARMS).parse_args()
    from sweeps.runner import run_sweep  # after the parser, so that --help does not wait for Ray

    return run_sweep(args, "regularization")


if __name__ == "__main__":
    run_script(main)
