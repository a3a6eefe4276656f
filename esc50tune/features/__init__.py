"""The features. A new one is a file in this folder and a line in `FEATURES`."""

from __future__ import annotations

from esc50tune.features.base import Feature
from esc50tune.features.encodec import Encodec
from esc50tune.features.logmel import LogMel
from esc50tune.features.raw import Raw

FEATURES: dict[str, type[Feature]] = {
    "raw": Raw,
    "logmel": LogMel,
    "encodec": Encodec,
}
