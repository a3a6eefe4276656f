"""The models. A new one is a file in this folder and a line in `PLACES`."""

from __future__ import annotations

from pkgutil import resolve_name

from esc50tune.models.base import Model

PLACES = {
    "hifigan": "hifigan:HiFiGANClassifier",
    "convnext": "convnext:ConvNeXt",
    "causal": "causal:CausalConvNeXt",
}
MODELS: dict[str, type[Model]] = {name: resolve_name(f"{__name__}.{place}") for name, place in PLACES.items()}
