"""Which regularizers help a 1d ConvNeXt? Sweeps the baseline, the plain ConvNeXt, and one arm for each method."""

from __future__ import annotations

import sys
from pathlib import Path

# So that `python sweeps/regularization.py` finds the packages without an installation.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from sweeps.cli import run_script

ARMS = ("baseline", "convnext", "dropout", "sam", "label-smoothing", "mixup", "shift", "all")

if __name__ == "__main__":
    run_script("regularization", __doc__, ARMS)
