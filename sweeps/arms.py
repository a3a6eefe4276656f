"""An arm: a method under study. It fixes some knobs and lets the search vary others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from esc50tune.config import TrialConfig
from esc50tune.errors import UserError, nearest
from esc50tune.features import FEATURES
from esc50tune.knobs import Search
from esc50tune.models import MODELS
from esc50tune.regularizers import REGULARIZERS, Regularizer
from esc50tune.seeds import derive_seed
from sweeps.presets import Preset
from sweeps.studies import Method, Study

# Every arm tunes the learning rate: comparing arms at one rate would favour those it happens to suit.
NUISANCE = ("lr",)


@dataclass(frozen=True)
class Arm:
    """One line of the final table.

    Attributes:
        name: as it stands in the table.
        fixed: knob values of all its trials; the sampled knobs hold their default setting here.
        space: the knobs that the search varies, with their ranges.
    """

    name: str
    fixed: dict[str, Any]
    space: dict[str, Search] = field(default_factory=dict)

    def config(self, sampled: dict[str, float], seed: int) -> TrialConfig:
        """Return the configuration of one of its trials."""
        return TrialConfig.from_flat({**self.fixed, **sampled, "seed": seed})


def trial_seed(seed: int, index: int) -> int:
    """Return the seed of the arms' trials number `index`: the same for all, so that they start from the same weights
    and see the clips in the same order."""
    return derive_seed(seed, "trial", index)


def search_range(knob: str) -> Search | None:
    search = TrialConfig.model_fields[knob].json_schema_extra["search"]
    return Search(*search) if search else None


def make_arms(
    study: Study, names: Iterable[str], preset: Preset, base: dict[str, Any], settings: dict[str, Any]
) -> list[Arm]:
    """Return the arms `names` of a study.

    Args:
        study: it knows the arms.
        names: those to make.
        preset: sets knobs that the arms leave open.
        base: knobs that presets and arms may change.
        settings: knobs that the command line fixes in every arm.

    Raises:
        UserError: an arm is unknown or named twice, or a setting contradicts what an arm is about.
    """
    arms: list[Arm] = []
    for name in names:
        if name not in study.arms:
            raise UserError(f"no arm is called '{name}'{nearest(name, study.arms)}")
        if any(arm.name == name for arm in arms):
            raise UserError(f"arm '{name}' is named twice in --arms")
        arms.append(make_arm(name, study, preset, base, settings))
    return arms


def without_effect(arms: list[Arm], plain: Arm | None) -> list[str]:
    """Name the arms that are the same as the plain one: the preset or --set has their method on in every arm."""
    return [arm.name for arm in arms if plain and arm.name != plain.name and arm.fixed == plain.fixed]


def make_arm(name: str, study: Study, preset: Preset, base: dict[str, Any], settings: dict[str, Any]) -> Arm:
    method = study.arms[name]
    wanted = {**method.fixed, **settings}
    preset_knobs = preset.for_arm(study.name, wanted["model"], wanted.get("feature"))
    feature = wanted.get("feature", preset_knobs["feature"])
    common = {**base, **without_wave_knobs(preset_knobs, feature), **method.fixed}
    length = clip_seconds(base | settings)
    if common.get("crop_seconds", 0) >= length:
        common["crop_seconds"] = 0  # the preset's crops would leave nothing out
    own = not_on_yet(own_knobs(method, feature), TrialConfig.from_flat({**common, **settings}))
    if "crop_seconds" not in settings and own.get("crop_seconds", 0) >= length:
        crop = f"crops of {own['crop_seconds']:g} s, and clips have {length:g} s here"
        raise UserError(f"arm '{name}' trains on {crop}: leave it out")
    config = TrialConfig.from_flat({**common, **own, **settings})
    refuse_contradictions(name, method, own, settings, config)
    refuse_layers_without_branches(name, own, config)
    own_searched = own if method.searched else {}
    varied = [knob for knob in (*NUISANCE, *own_searched) if knob not in settings and search_range(knob)]
    fixed = {knob: value for knob, value in config.to_flat().items() if knob != "seed"}
    return Arm(name, fixed, {knob: widened(search_range(knob), fixed[knob]) for knob in varied})


def clip_seconds(knobs: dict[str, Any]) -> float:
    """Return how long clips are, in seconds, with knob values of which some may be those of a command line."""
    return TrialConfig.from_flat({knob: value for knob, value in knobs.items() if knob == "clip_seconds"}).clip_seconds


def own_knobs(method: Method, feature: str) -> dict[str, Any]:
    """Return what the method sets, without that part of it that needs waveforms where there are none."""
    return without_wave_knobs(method.own, feature) or method.own


def without_wave_knobs(knobs: dict[str, Any], feature: str) -> dict[str, Any]:
    if feature not in FEATURES or FEATURES[feature].from_waves:
        return knobs
    of_waves = {knob for regularizer in REGULARIZERS for knob in regularizer.wave_knobs}
    return {knob: value for knob, value in knobs.items() if knob not in of_waves}


def not_on_yet(own: dict[str, Any], plain: TrialConfig) -> dict[str, Any]:
    """Return what a method sets, without what is on anyway: an arm never has less of its method than the plain one.

    What is on in every trial unless it is switched off, as weight decay is, may be set to another strength.
    """
    always_on = {knob for knob in own if TrialConfig.model_fields[knob].default}
    return {knob: value for knob, value in own.items() if knob in always_on or not getattr(plain, knob)}


def refuse_contradictions(
    name: str, method: Method, own: dict[str, Any], settings: dict[str, Any], config: TrialConfig
) -> None:
    strengths = {knob for regularizer in REGULARIZERS for knob in regularizer.Knobs.model_fields}
    for knob, value in {**method.fixed, **own}.items():
        chosen = getattr(config, knob)
        if knob in settings and chosen != value and (knob not in strengths or not chosen):
            raise UserError(f"--set {knob}={settings[knob]} contradicts arm '{name}'; leave out one of them")


def refuse_layers_without_branches(name: str, own: dict[str, Any], config: TrialConfig) -> None:
    """Such a method would do nothing, and its arm be the plain one by another name."""
    for method in REGULARIZERS:
        in_branches = method.branch_layer is not Regularizer.branch_layer
        if in_branches and own.keys() & method.Knobs.model_fields and not MODELS[config.model].branches:
            raise UserError(
                f"arm '{name}': {method.name} stands in residual branches, which model '{config.model}' has not; "
                "leave the arm out of --arms"
            )


def widened(search: Search, default: float) -> Search:
    """Return the range, made to hold the default setting too."""
    return Search(min(search.low, default), max(search.high, default), search.log)
