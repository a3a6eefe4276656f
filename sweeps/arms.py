"""An arm: a method under study. It fixes some knobs and lets the search vary others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from esc50tune.config import TrialConfig
from esc50tune.errors import UserError, nearest
from esc50tune.knobs import Search
from esc50tune.regularizers import REGULARIZERS
from esc50tune.seeds import derive_seed

COMBINED = ("dropout", "drop-path", "label-smoothing", "mixup", "shift")
REFERENCE = "convnext"

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


def known_arms() -> dict[str, dict[str, Any]]:
    """Return what each arm sets, by name: the two models, every regularizer alone, and the usual ones together."""
    alone = {method.name: {"model": "convnext", **method.on} for method in REGULARIZERS}
    together = {"model": "convnext"}
    for name in COMBINED:
        together |= alone[name]
    return {"baseline": {"model": "hifigan"}, REFERENCE: {"model": "convnext"}, **alone, "all": together}


def make_arms(names: Iterable[str], preset: dict[str, Any], settings: dict[str, Any]) -> list[Arm]:
    """Return the arms `names` on top of a preset's knobs, with the knobs of `settings` fixed in all of them.

    Raises:
        UserError: an arm is unknown or named twice, or a setting switches off what an arm is about.
    """
    known, arms = known_arms(), []
    for name in names:
        if name not in known:
            raise UserError(f"no arm is called '{name}'{nearest(name, known)}")
        if any(arm.name == name for arm in arms):
            raise UserError(f"arm '{name}' is named twice in --arms")
        arms.append(make_arm(name, known[name], preset, settings))
    return arms


def without_effect(arms: list[Arm]) -> list[str]:
    """Name the arms whose method every arm has on already, by the preset or --set, so that they compare nothing."""
    plain = next((arm.fixed for arm in arms if arm.name == REFERENCE), None)
    return [arm.name for arm in arms if arm.name != REFERENCE and arm.fixed == plain]


def make_arm(name: str, on: dict[str, Any], preset: dict[str, Any], settings: dict[str, Any]) -> Arm:
    config = TrialConfig.from_flat({**preset, **on, **settings})
    for knob in on:
        if knob in settings and (knob == "model" or not getattr(config, knob)) and on[knob] != getattr(config, knob):
            raise UserError(f"--set {knob}={settings[knob]} contradicts arm '{name}'; leave out one of them")
    # 'all' keeps its strengths: seven dimensions cannot be searched with a handful of trials.
    own = [knob for knob in on if knob != "model" and name != "all"]
    varied = [knob for knob in (*NUISANCE, *own) if knob not in settings and search_range(knob)]
    fixed = {knob: value for knob, value in config.to_flat().items() if knob != "seed"}
    return Arm(name, fixed, {knob: widened(search_range(knob), fixed[knob]) for knob in varied})


def widened(search: Search, default: float) -> Search:
    """Return the range, made to hold the default setting too."""
    return Search(min(search.low, default), max(search.high, default), search.log)
