"""A checkpoint as a module: waveforms in, logits out, as `Trainer.predict` gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from esc50tune.checkpoint import load_checkpoint
from esc50tune.classifier import Classifier
from esc50tune.config import TrialConfig
from esc50tune.data.batch import Batch
from esc50tune.data.latents import FILE, check_unchanged, weights_file
from esc50tune.errors import UserError
from esc50tune.evaluation import average_views
from esc50tune.features import FEATURES
from esc50tune.regularizers import active
from esc50tune.winner.chosen import Chosen

RUN = ("arm", "fold", "seed", "folds", "fingerprint", "classes")  # what a checkpoint and its folder must agree on


class Predictor(nn.Module):
    """Waveforms [B, 1, T] in -1..1 to logits [B, K]; to log-probabilities where several crops of a clip are averaged.

    Args:
        config: of the training.
        state: its last checkpoint.
        about: what is known of it; see `Chosen`.

    Attributes:
        length: samples T of a clip.
    """

    def __init__(self, config: TrialConfig, state: dict[str, Any], about: dict[str, Any]) -> None:
        super().__init__()
        self.config, self.about, self.classes = config, about, about["classes"]
        self.length = round(config.sample_rate * config.clip_seconds)
        self.methods = active(config)
        classifier: nn.Module = Classifier(config, len(self.classes))
        classifier.load_state_dict(state["classifier"])
        for method in self.methods:
            method.start(classifier)
            method.load_state_dict(state["methods"][method.name])
            classifier = method.evaluated(classifier)
        self.classifier, self.encoder = classifier, FEATURES[config.feature].encoder(config)
        self.eval().requires_grad_(False)
        torch.backends.cudnn.allow_tf32 = False  # as in the training

    def forward(self, waves: Tensor) -> Tensor:
        with torch.autocast(waves.device.type, enabled=False):  # as clips are encoded for a training
            clips = self.encoder(waves)
        size = waves.shape[0]
        nothing = clips.new_zeros(size, 1)  # to learn of them
        batch = Batch(clips, targets=nothing, codes=None, shares=nothing)
        for method in self.methods:
            batch = method.on_eval(batch)
        return average_views(self.classifier(batch.waves).float(), size)


def load_predictor(chosen: Chosen) -> Predictor:
    """Return what the weights predict with, on the CPU.

    Raises:
        UserError: the checkpoint is damaged, of another version or another run than its folder tells of, or does not
            carry its classes; or EnCodec's weights cannot be had.
    """
    path = chosen.checkpoint
    state = read_state(path)
    about = own_facts(state, chosen)
    strange = [name for name in state["config"] if name not in TrialConfig.model_fields]
    if strange:
        raise UserError(
            f"the configuration in '{path}' is none of this version's: no knob is called '{strange[0]}' here; put back "
            "the regularizer, model or feature that has it"
        )
    try:
        config = TrialConfig.from_flat(state["config"])
    except UserError as error:
        raise UserError(f"the configuration in '{path}' is none of this version's: {error}") from None
    check_encoder(config, about)
    try:
        return Predictor(config, state, about)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError):
        raise UserError(f"'{path}' does not hold the weights of its own configuration: it is damaged") from None


def read_state(path: Path) -> dict[str, Any]:
    try:
        state = load_checkpoint(path)
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror or error}") from None
    except Exception:  # there may be anything in it, and torch raises many kinds for a damaged file
        raise UserError(f"'{path}' is damaged, or no checkpoint") from None
    if not isinstance(state, dict) or not isinstance(state.get("config"), dict):
        raise UserError(f"'{path}' is no checkpoint of a training")
    return state


def own_facts(state: dict[str, Any], chosen: Chosen) -> dict[str, Any]:
    """Return what a checkpoint carries about itself; what its folder tells, where it is one that carries nothing."""
    path, own, told = chosen.checkpoint, state.get("about"), chosen.about
    if not own and told is None:
        raise UserError(f"'{path}' does not carry its classes: name its results folder instead")
    about = own or told
    if not are_facts(about):
        raise UserError(f"'{path}' is damaged, or its results folder: it does not tell what the weights are of")
    for name in RUN if own and told else ():
        if own.get(name) != told.get(name):
            raise UserError(
                f"'{path}' is not of the run that its folder tells of: its {name} is {own.get(name)}, there it is "
                f"{told.get(name)}"
            )
    return about


def are_facts(about: Any) -> bool:
    if not isinstance(about, dict) or not isinstance(about.get("encoders"), dict) or "stand_in" not in about:
        return False
    if not ({"fold", "seed"} <= about.keys() or isinstance(about.get("folds"), list)):
        return False
    classes, texts = about.get("classes"), [about.get(name) for name in ("arm", "title", "fingerprint")]
    return isinstance(classes, list) and all(isinstance(text, str) for text in [*classes, *texts])


def check_encoder(config: TrialConfig, about: dict[str, Any]) -> None:
    """Raise UserError where the features need a file of EnCodec's weights that is gone, or has changed."""
    weights = config.encodec_weights
    if config.feature != "encodec" or weights in ("pretrained", "untrained"):
        return
    try:
        weights_file(weights)
    except UserError:
        raise UserError(f"EnCodec's weights are not at '{weights}' as in the training: put '{FILE}' there") from None
    check_unchanged({name: was for name, was in about["encoders"].items() if name == weights})
