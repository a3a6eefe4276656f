"""What a user should know of the model that is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from esc50tune.winner.chosen import Chosen
from esc50tune.winner.predictor import Predictor


def lines(chosen: Chosen, predictor: Predictor) -> Iterator[str]:
    """Yield it in words."""
    about, config = predictor.about, predictor.config
    if "fold" in about:
        trained = f"without fold {about['fold']}, seed {about['seed']}"
    else:
        trained = f"in the search, on folds {', '.join(map(str, about['folds']))}"
    worth = ": its labels say nothing about real sounds" if about["stand_in"] else ""
    yield f"model     {about['arm']}, {chosen.why}"
    yield f"weights   {chosen.checkpoint}: trained {trained}"
    yield f"data      {about['title']}{worth}"
    yield f"hears     {config.clip_seconds:g} s at {config.sample_rate:,} Hz"


def facts(chosen: Chosen, predictor: Predictor) -> dict[str, Any]:
    """Return it by name, with the names of the classes, in the order of the logits."""
    config = predictor.config
    heard = {"sample_rate": config.sample_rate, "clip_seconds": config.clip_seconds}
    return {"chosen": chosen.why, **predictor.about, **heard}
