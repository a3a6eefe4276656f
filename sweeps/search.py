"""Which point an arm tries next: one Optuna study an arm, made anew from the arm's history at each ask.

A study is a function of the events, so nothing of it needs saving, and a point never depends on another arm's trials.
"""

from __future__ import annotations

import math
import warnings

import optuna
from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from esc50tune.seeds import derive_seed
from sweeps.arms import Arm
from sweeps.state import Trial

STARTUP_TRIALS = 3  # TPE's default of 10 random points would leave an arm of 5 to 8 trials nothing to model


def next_point(arm: Arm, search: str, seed: int, index: int, history: list[Trial]) -> dict[str, float]:
    """Return the sampled knobs of an arm's trial number `index` (0 first: its default setting).

    Args:
        arm: the arm.
        search: 'sobol', 'tpe' or 'random'.
        seed: the sweep's seed.
        index: how many trials the arm was dealt before this one.
        history: the arm's trials so far; TPE alone looks at it, at those that lie within the ranges.
    """
    if index == 0 or not arm.space:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {knob: FloatDistribution(r.low, r.high, log=r.log) for knob, r in arm.space.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if search == "sobol":
            return sobol_point(arm, space, seed, index)
        return asked(make_sampler(search, derive_seed(seed, arm.name, index) % 2**32), space, history)


def make_sampler(search: str, seed: int) -> BaseSampler:
    if search == "tpe":
        return TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
    return RandomSampler(seed=seed)


def sobol_point(arm: Arm, space: dict[str, FloatDistribution], seed: int, index: int) -> dict[str, float]:
    """Return point `index` of the arm's scrambled Sobol sequence, which starts after the default setting."""
    study = optuna.create_study(
        sampler=QMCSampler(qmc_type="sobol", scramble=True, seed=derive_seed(seed, arm.name) % 2**32)
    )
    # The sampler learns its space from a completed trial; this one only tells it, its value is never used.
    default = {knob: arm.fixed[knob] for knob in space}
    study.add_trial(create_trial(params=default, distributions=space, value=0.0))
    for _ in range(index):
        point = study.ask(fixed_distributions=space).params
    return point


def asked(sampler: BaseSampler, space: dict[str, FloatDistribution], history: list[Trial]) -> dict[str, float]:
    study = optuna.create_study(sampler=sampler, direction="maximize")
    for trial in history:
        if lies_within(trial, space):
            study.add_trial(as_optuna(trial, space))
    return study.ask(fixed_distributions=space).params


def lies_within(trial: Trial, space: dict[str, FloatDistribution]) -> bool:
    """Tell whether a trial is a point of the space: with --force, a range may be another than when it was dealt."""
    return all(known.low <= trial.config.get(knob, math.nan) <= known.high for knob, known in space.items())


def as_optuna(trial: Trial, space: dict[str, FloatDistribution]) -> FrozenTrial:
    """Tell Optuna of a trial. A score cut short by early stopping is a pruned one, ranked below every full one; so is
    that of a trial that waits."""
    state = {
        "finished": TrialState.COMPLETE,
        "diverged": TrialState.COMPLETE,
        "stopped": TrialState.PRUNED,
        "error": TrialState.FAIL,
        None: TrialState.PRUNED if trial.waiting else TrialState.RUNNING,
    }[trial.reason]
    return create_trial(
        state=state,
        value=trial.score if state == TrialState.COMPLETE else None,
        params={knob: trial.config[knob] for knob in space},
        distributions=space,
        intermediate_values={event["epoch"]: event["val_acc"] for event in trial.epochs},
    )
