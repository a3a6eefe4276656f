"""What an arm's model sees of a clip, told from the arm's fixed knobs."""

from __future__ import annotations

from typing import Any

ENCODERS = {"pretrained": "EnCodec", "untrained": "EnCodec, untrained", "file": "EnCodec, weights from a file"}


def encoder(knobs: dict[str, Any]) -> str:
    """Return where EnCodec's weights come from: pretrained, untrained or file; nothing where it is not used."""
    if knobs["feature"] != "encodec":
        return ""
    weights = knobs["encodec_weights"]
    return weights if weights in ("pretrained", "untrained") else "file"


def feature_words(knobs: dict[str, Any]) -> str:
    """Return the feature in words; one that is not known here goes by its own name."""
    feature, rate = knobs["feature"], f"{knobs['sample_rate'] / 1000:g} kHz"
    if feature == "encodec":
        return ENCODERS[encoder(knobs)]
    return f"log-mel {knobs['logmel_bands']} bands {rate}" if feature == "logmel" else f"{feature} {rate}"
