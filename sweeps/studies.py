"""What a script studies: which arms it knows, which it runs by default, and what each is compared with."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import Any

from esc50tune.data import latents
from esc50tune.errors import UserError, nearest
from esc50tune.models import MODELS
from esc50tune.regularizers import REGULARIZERS

Knobs = dict[str, Any]


@dataclass(frozen=True)
class Method:
    """What makes an arm.

    Attributes:
        fixed: knob values without which it would be another arm: model, feature.
        own: what its method starts from; the command line may change these, but not switch them off.
        searched: whether the search varies those of `own` that have a range.
    """

    fixed: Knobs
    own: Knobs = field(default_factory=dict)
    searched: bool = True


@dataclass(frozen=True)
class Study:
    """Arms and their comparisons.

    Attributes:
        name: that of its script.
        arms: all that it knows, by name.
        default: those that run if none are named.
        reference: the arm that regularizers are added to; None where the study is of something else.
        against: the arm that each is compared with, where there is one.
    """

    name: str
    arms: dict[str, Method]
    default: tuple[str, ...]
    reference: str | None
    against: dict[str, str]


INPUTS: dict[str, Knobs] = {
    "raw": {"feature": "raw", "sample_rate": 44_100},
    "raw24": {"feature": "raw", "sample_rate": latents.RATE},
    # The shape and the band limit of EnCodec's latents.
    "logmel": {
        "feature": "logmel",
        "sample_rate": latents.RATE,
        "logmel_bands": 128,
        "logmel_frames_per_second": latents.RATE // latents.HOP,
    },
    "encodec": {"feature": "encodec", "sample_rate": latents.RATE},
    "untrained": {"feature": "encodec", "sample_rate": latents.RATE, "encodec_weights": "untrained"},
}
CAUSAL = {"model": "causal", **INPUTS["encodec"]}
PLAIN = "convnext"
POOLED = "statistics-pooling"  # no regularizer, but compared as they are
# Models that someone adds to the package: each has an arm on every input, and one by its name beside the baseline.
ADDED = [name for name in MODELS if name not in ("hifigan", "convnext", "causal")]
COMBINED = ("dropout", "sam", "label-smoothing", "mixup", "shift")


def architectures(default: tuple[str, ...] = ()) -> Study:
    """The baseline and the ConvNeXt on each input, and the causal ConvNeXt with its language-model task."""
    arms = {
        f"{model}-{name}": Method({"model": model, **knobs})
        for name, knobs in INPUTS.items()
        for model in ("hifigan", "convnext", *ADDED)
    }
    against = {f"{model}-{name}": f"hifigan-{name}" for name in INPUTS for model in ("convnext", *ADDED)}
    against["causal-lm"] = against["causal"] = "hifigan-encodec"
    arms["causal-lm"] = Method(CAUSAL, {"code_lm": 1.0})
    return Study("architectures", {**arms, "causal": Method(CAUSAL)}, default, None, against)


def regularization(default: tuple[str, ...] = (), base: str | None = None) -> Study:
    """Each regularizer on the ConvNeXt of the preset, or on the arm `base` of `architectures`.

    The plain arm is called 'convnext', or as the base is.

    Raises:
        UserError: there is no such base.
    """
    bases = {name: arm for name, arm in architectures().arms.items() if not name.startswith("hifigan")}
    if base is not None and base not in bases:
        raise UserError(f"--base: no base is called '{base}'{nearest(base, bases)}")
    plain = bases[base] if base else Method({"model": "convnext"})
    reference, fixed = base or PLAIN, {**plain.fixed, **plain.own}
    alone = {method.name: Method(fixed, method.on) for method in REGULARIZERS}
    together = {knob: value for name in COMBINED for knob, value in alone[name].own.items()}
    arms = {
        "baseline": Method({**plain.fixed, "model": "hifigan"}),
        **{model: Method({**plain.fixed, "model": model}) for model in ADDED},
        reference: Method(fixed),
        **alone,
        **({POOLED: Method(fixed, {"convnext_pool": "statistics"})} if fixed["model"] == "convnext" else {}),
        # It keeps its strengths: that many dimensions cannot be searched with a handful of trials.
        "all": Method(fixed, together, searched=False),
    }
    against = dict.fromkeys([*alone, POOLED, "all"], reference) | dict.fromkeys([*ADDED, reference], "baseline")
    return Study(
        "regularization", arms, tuple(reference if name == PLAIN else name for name in default), reference, against
    )


def study_of(args: argparse.Namespace) -> Study:
    """Return what the command line's script studies.

    Raises:
        UserError: --base names no base.
    """
    if args.script == "architectures":
        return architectures(args.default_arms)
    study = regularization(args.default_arms, args.base)
    if args.base and args.feature:
        raise UserError(f"--base {args.base} has a feature of its own; leave out --feature {args.feature}")
    return study
