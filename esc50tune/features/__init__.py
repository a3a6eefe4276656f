"""The features. A new one is a file in this folder and a line in `PLACES`."""

from __future__ import annotations

from pkgutil import resolve_name

from esc50tune.features.base import Feature

PLACES = {
    "raw": "raw:Raw",
    "logmel": "logmel:LogMel",
    "encodec": "encodec:Encodec",
}
FEATURES: dict[str, type[Feature]] = {name: resolve_name(f"{__name__}.{place}") for name, place in PLACES.items()}
