"""Which arms stand in which table, below which, and under which headline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.confirmed import arm_of
from analysis.features import encoder, feature_words

MODELS = {"convnext": "ConvNeXt", "causal": "causal ConvNeXt"}


@dataclass(frozen=True)
class Part:
    """One of the tables that the arms of a sweep are dealt to.

    Attributes:
        groups: the labels of arms that others are compared with, each with those others.
        alone: the labels of arms that are compared with nothing.
    """

    name: str
    title: str
    groups: dict[str, list[str]]
    alone: tuple[str, ...] = ()
    by_feature: bool = False

    @property
    def members(self) -> list[str]:
        return [*(arm for base, others in self.groups.items() for arm in (base, *others)), *self.alone]


def make_parts(manifest: dict[str, Any], labels: Sequence[str]) -> list[Part]:
    """Deal the arms that have figures, given by their labels, to tables; an arm stands below what it is against."""
    groups, reference = compared(manifest, labels), manifest["reference"]
    versus = {base: others for base, others in groups.items() if base != reference}
    ablation = {base: others for base, others in groups.items() if base == reference}
    parts = []
    if versus:
        several = len(versus) > 1
        title = f"Baseline (HiFi-GAN discriminator) against {rivals(manifest, versus)}" + ", by feature" * several
        parts.append(Part("baseline-vs-convnext", title, versus, by_feature=several))
    seen = compared_by_feature(manifest, labels) if reference is None else {}
    if seen:
        parts.append(Part("features", "Features, by model: each against the first", seen, by_feature=True))
    if ablation:
        title = f"Regularization ablation: each arm against {reference_words(manifest)}"
        parts.append(Part("regularization-ablation", title, ablation))
    dealt = {arm for part in parts for arm in part.members}
    alone = tuple(label for label in labels if label not in dealt)
    if alone:
        parts.append(Part("arms", "The sweep's arms, without one to compare with", {}, alone))
    return parts


def compared(manifest: dict[str, Any], labels: Sequence[str]) -> dict[str, list[str]]:
    """Return the labels that others are compared with, each with those others, all in the manifest's order."""
    against = {arm["name"]: arm["against"] for arm in manifest["arms"]}
    groups = {base: [label for label in labels if against[arm_of(label)] == base] for base in labels}
    return {base: others for base, others in groups.items() if others}


def compared_by_feature(manifest: dict[str, Any], labels: Sequence[str]) -> dict[str, list[str]]:
    """Return for each model the label that stands for its first feature, with those of the same model on others.

    The first is raw audio, where a model has it; at its lowest rate, which EnCodec and log-mel share.
    """
    arms = {arm["name"]: arm["fixed"] for arm in manifest["arms"]}
    fixed = {label: arms[arm_of(label)] for label in labels}
    groups: dict[str, list[str]] = {}
    for model in dict.fromkeys(knobs["model"] for knobs in fixed.values()):
        own = [label for label in labels if fixed[label]["model"] == model]
        raw = [label for label in own if fixed[label]["feature"] == "raw"]
        base = min(raw, key=lambda label: fixed[label]["sample_rate"], default=own[0])
        groups[base] = [label for label in own if feature_words(fixed[label]) != feature_words(fixed[base])]
    return {base: others for base, others in groups.items() if others}


def rivals(manifest: dict[str, Any], versus: dict[str, list[str]]) -> str:
    """Name what stands against baselines; models that are not known here go by their own names."""
    models = {arm["name"]: arm["fixed"]["model"] for arm in manifest["arms"]}
    there = {models[arm_of(label)] for others in versus.values() for label in others}
    return ", ".join(sorted({"1d ConvNeXt" if model in MODELS else model for model in there}))


def reference_words(manifest: dict[str, Any]) -> str:
    """Name the arm that the ablation compares with, and what it has on, if anything."""
    reference = manifest["reference"]
    ((knobs, on),) = ((arm["fixed"], arm["on"]) for arm in manifest["arms"] if arm["name"] == reference)
    if on:
        return f"{reference} with {', '.join(on[:-1])}{' and ' * (len(on) > 1)}{on[-1]} on"
    plain = f"the plain {MODELS.get(knobs['model'], knobs['model'])}"
    return plain if reference == "convnext" else f"{reference}, {plain}"


def against_words(manifest: dict[str, Any], base: str) -> str:
    """Name an arm that others are compared with, in the middle of a sentence."""
    if base == manifest["reference"]:
        return reference_words(manifest)
    return "the baseline" if base == "baseline" else base


def traits(fixed: dict[str, Any]) -> dict[str, str]:
    """Return what an arm's model sees, in words, and where EnCodec's weights come from."""
    return {"feature": feature_words(fixed), "encoder": encoder(fixed)}


def mark(stand_in: bool, encoders: Iterable[str]) -> str:
    """Return what a title says besides where its figures are of no real data or encoder.

    The mark has a star where only some of its arms use an untrained encoder: their names have it too.
    """
    untrained = [name == "untrained" for name in encoders]
    which = " [UNTRAINED ENCODER]" if all(untrained) else " [* UNTRAINED ENCODER]"
    return " [STAND-IN DATA]" * stand_in + which * any(untrained)
