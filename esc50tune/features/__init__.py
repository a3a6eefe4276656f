"""The features. A new one is a file in this folder and a line in `FEATURES`."""

from __future__ import annotations

from esc50tune.features.logmel import LogMel
from esc50tune.features.raw import Raw

# Each has `Knobs`, is made from a config, has `channels` and `fit(batches)`, and turns [B, 1, T] into [B, C, T'].
FEATURES = {
    "raw": Raw,
    "logmel": LogMel,
}
