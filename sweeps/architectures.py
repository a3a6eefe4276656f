"""Baseline or ConvNeXt, raw audio or learned features? Sweeps both models on raw audio at 44.1 and 24 kHz, log-mel,
EnCodec's latents and those of an untrained encoder, and the causal ConvNeXt with its language-model task."""

from __future__ import annotations

import sys
from pathlib import Path

# So that `python sweeps/architectures.py` finds the packages without an installation.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from sweeps.cli import run_script

ARMS = (
    *("hifigan-raw", "convnext-raw", "hifigan-raw24", "convnext-raw24", "hifigan-logmel", "convnext-logmel"),
    *("hifigan-encodec", "convnext-encodec", "hifigan-untrained", "convnext-untrained", "causal-lm"),
)

if __name__ == "__main__":
    run_script("architectures", __doc__, ARMS)
