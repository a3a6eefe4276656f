"""The simulated study: that it assumes what it says, and that the project's own statistics and driver do well in it."""

from __future__ import annotations

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from analysis.accuracy import Clips as Sampled
from analysis.layout import make_parts
from analysis.power import CLUSTERING
from analysis.statistics import compare
from esc50tune.errors import UserError
from sweeps import simulated_confirmation, simulated_search
from sweeps.events import EventLog
from sweeps.simulate import main
from sweeps.simulated_confirmation import (
    Assumptions,
    Clips,
    against_one,
    draw_runs,
    esc50_clips,
    in_pairs,
    in_two_tables,
    read_clips,
    simulate_accuracy,
    simulate_confirmation,
    simulate_confirmations,
    simulate_report,
    variances,
)
from sweeps.simulated_search import (
    SHARED,
    TRIALS,
    TRUTHS,
    compare_schedulers,
    simulate_search,
    simulate_sweep,
    simulated_arms,
    true_curve,
)
from sweeps.studies import regularization

ASSUMED = Assumptions()


def apart(folds: int, clips: int) -> Clips:
    """Clips that share no source."""
    return Clips(np.repeat(np.arange(folds), clips), np.arange(folds * clips))


def runs_of(clips: Clips, accuracies: list[float], seeds: int, shared: float = ASSUMED.shared) -> np.ndarray:
    return draw_runs(clips, variances(ASSUMED), shared, np.array(accuracies), seeds, np.random.default_rng(0))


def test_clips_are_esc50s_in_number() -> None:
    clips = esc50_clips()
    assert np.bincount(clips.folds).tolist() == [400] * 5
    takes = np.bincount(clips.sources)
    assert (len(takes), takes.max(), (takes == 1).sum()) == (1528, 8, 1212)
    assert all(len(set(clips.folds[clips.sources == source])) == 1 for source in range(0, 1528, 50))


def test_runs_have_the_accuracy_that_is_assumed() -> None:
    runs = runs_of(apart(200, 1000), [0.75, 0.78], 2)
    assert runs.mean(axis=(1, 2)) == pytest.approx([0.75, 0.78], abs=0.003)


def test_the_parts_of_the_score_add_up() -> None:
    parts = variances(ASSUMED)
    assert sum(parts) == pytest.approx(1)
    # Bivariate normal probability that both runs are right: accuracy minus half of the discordance.
    common = parts.difficulty + parts.fold
    both = multivariate_normal.cdf([norm.ppf(0.75)] * 2, cov=[[1, common], [common, 1]])
    assert both == pytest.approx(0.75 - 0.2 / 2, abs=1e-6)


def test_any_two_runs_disagree_on_a_fifth_of_the_clips() -> None:
    (a, again), (b, _) = runs_of(apart(200, 1000), [0.75, 0.75], 2)
    assert [(a != again).mean(), (a != b).mean()] == pytest.approx([0.2, 0.2], abs=0.003)


def test_runs_of_one_arm_disagree_less_where_arms_know_different_clips() -> None:
    parts = variances(replace(ASSUMED, same=0.12))
    assert sum(parts) == pytest.approx(1)
    draws = draw_runs(apart(200, 1000), parts, 0.5, np.array([0.75, 0.75]), 2, np.random.default_rng(0))
    (a, again), (b, _) = draws
    assert [(a != again).mean(), (a != b).mean()] == pytest.approx([0.12, 0.2], abs=0.003)


def test_arms_in_pairs_are_compared_with_one_of_their_own() -> None:
    study = in_pairs(0.05, -0.05)
    assert study.tables == ({0: (1,), 2: (3,)},)
    assert study.differences == pytest.approx([0.05, -0.05])
    [outcome] = simulate_confirmations(esc50_clips(), ASSUMED, study, (5,), 20, np.random.default_rng(0))
    assert outcome.better.mean(axis=0) == pytest.approx([1, 0], abs=0.1)
    assert outcome.different.mean() > 0.9


def test_runs_of_a_fold_differ_by_a_point_beyond_their_luck() -> None:
    (runs,) = runs_of(apart(1, 10_000), [0.75], 600)
    luck = ASSUMED.discordance / 2 / 10_000
    assert np.sqrt(runs.mean(axis=-1).var() - luck) == pytest.approx(0.01, rel=0.1)


def test_a_fold_is_a_point_easier_or_harder_for_all_its_runs_alike() -> None:
    ((one, other),) = runs_of(apart(1500, 400), [0.75], 2)
    both = np.cov(one.reshape(1500, 400).mean(axis=1), other.reshape(1500, 400).mean(axis=1))[0, 1]
    clips = (0.75 * 0.25 - ASSUMED.discordance / 2) / 400  # what the clips of a fold have in common for both runs
    assert np.sqrt(both - clips) == pytest.approx(0.01, rel=0.15)


def test_takes_of_a_source_share_luck_and_make_differences_as_uncertain_as_seeds_needed_reckons() -> None:
    clips = esc50_clips()
    sampled = Sampled(clips.folds, clips.sources)

    def clustering(shared: float) -> float:
        runs = runs_of(clips, [0.75] * 40, 1, shared).astype(float)
        differences = runs[::2] - runs[1::2]
        return sampled.sampling_variance(sampled.per_source(differences)).mean() / (differences.var() / 400)

    assert clustering(0.0) == pytest.approx(1, abs=0.04)
    assert clustering(ASSUMED.shared) == pytest.approx(CLUSTERING, abs=0.04)


def test_true_differences_are_found_and_false_ones_are_not() -> None:
    found = simulate_confirmation(esc50_clips(), ASSUMED, 200, np.random.default_rng(0))
    # 2,000 draws give .91, .87, .04 and .96; three standard errors of these few are left around that.
    assert found["power_3pt"] >= 0.85
    assert found["power_2pt"] >= 0.8
    assert found["false_positive"] <= 0.08
    assert 0.93 <= found["coverage"] <= 0.985
    assert found["apart"]["power"] == pytest.approx(0.8, abs=0.09)
    for noise in ("apart", "pairs"):
        assert found[noise]["false_positive"] <= 0.08
        assert found[noise]["coverage"] >= 0.92
    for shares in found["found"].values():
        assert list(shares) == ["0", "1", "2", "3"]
        assert shares["0"] < 0.05 < shares["1"] < shares["2"] < shares["3"]
    assert found["found"]["3"]["2"] < found["found"]["5"]["2"] < found["found"]["10"]["2"]


def test_a_report_has_the_tables_of_the_arms_that_a_sweep_has_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])  # a script changes it
    names = runpy.run_path(str(Path(__file__).parents[2] / "sweeps" / "regularization.py"))["ARMS"]
    study = regularization(names)
    arms = [{"name": arm, "against": study.against.get(arm), "fixed": study.arms[arm].fixed, "on": []} for arm in names]
    parts = make_parts({"arms": arms, "reference": study.reference}, names)
    numbered = [
        {names.index(base): tuple(map(names.index, arms)) for base, arms in part.groups.items()} for part in parts
    ]
    assert list(in_two_tables().tables) == numbered
    assert in_two_tables().effects == (0.0,) * len(names)


def test_a_report_is_judged_table_by_table_and_called_false_for_any_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    tables, judged = [], []

    def judge(correct, groups, folds, sources) -> list:
        tables.append(groups)
        judged.append(compare(correct, groups, folds, sources))
        return judged[-1]

    monkeypatch.setattr(simulated_confirmation, "compare", judge)
    monkeypatch.setattr(simulated_confirmation, "SEEDS", 2)
    noisy = replace(ASSUMED, run_sd=0.03)
    found = simulate_report(apart(2, 60), noisy, 60, np.random.default_rng(0))
    assert tables == list(in_two_tables().tables) * 60
    reports = [[*first, *second] for first, second in zip(judged[::2], judged[1::2], strict=True)]
    false = [any(arm.verdict != "no difference seen" for arm in report) for report in reports]
    held = [all(arm.low <= 0 <= arm.high for arm in report) for report in reports]
    assert found == {"false_positive": np.mean(false), "coverage": np.mean(held)}
    assert 0 < found["false_positive"] < 0.3


def test_an_accuracys_interval_holds_the_truth_in_most_confirmations() -> None:
    held = simulate_accuracy(esc50_clips(), ASSUMED, 100, np.random.default_rng(0))
    assert list(held) == ["1", "3", "10"]
    # 6,000 draws give .945 to .952; three standard errors of these few are left around that.
    assert all(0.86 <= share <= 0.99 for share in held.values())


def test_an_interval_that_misses_the_truth_is_counted_as_a_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def interval(correct, folds, sources, draws, seed) -> tuple[float, float, float]:
        seen.append((*correct.shape, seed))
        return 0.0, 0.75, {1: 0.75, 3: 0.9, 10: 0.7}[len(correct)]

    monkeypatch.setattr(simulated_confirmation, "accuracy_interval", interval)
    assert simulate_accuracy(apart(2, 5), ASSUMED, 2, np.random.default_rng(0)) == {"1": 1.0, "3": 1.0, "10": 0.0}
    assert seen == [(seeds, 10, draw) for draw in (0, 1) for seeds in (1, 3, 10)]


def test_an_arm_that_is_worse_is_not_called_better() -> None:
    [outcome] = simulate_confirmations(
        esc50_clips(), ASSUMED, against_one(-0.05, 0.05), (3,), 20, np.random.default_rng(0)
    )
    assert outcome.different.all()
    assert not outcome.better[:, 0].any()
    assert outcome.better[:, 1].all()


def test_no_arm_of_a_search_is_starved_and_early_stopping_saves_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated_search, "SWEEPS", 12)
    arms = simulate_search(ASSUMED, 0, np.random.default_rng(0))
    assert list(arms) == list(TRUTHS)
    for row in arms.values():
        assert row["trials"] == TRIALS
        assert row["fewest"] >= 1
        assert 0.4 < row["epochs"] < 0.95
        assert 0 <= row["lost"] < 0.015
    # An arm's best trial runs in full more often than any trial does (.6 against .4).
    kept, full = (np.mean([row[name] for row in arms.values()]) for name in ("kept", "full"))
    assert kept > full / TRIALS


def test_waiting_at_a_rung_costs_as_many_epochs_as_asha_and_loses_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated_search, "SWEEPS", 15)
    found = compare_schedulers(ASSUMED, 0, np.random.default_rng(0))
    for trials in ("5", "8"):
        halving, asha = found["halving"][trials], found["asha"][trials]
        assert halving["epochs"] < asha["epochs"] + 0.03
        assert halving["lost"] < 0.8 * asha["lost"]
        assert halving["kept"] > asha["kept"]
        assert halving["starved"] == asha["starved"] == 0
        assert found[SHARED][trials]["starved"] > 0
        assert found["none"][trials] == {"epochs": 1, "full": int(trials), "starved": 0, "kept": 1, "lost": 0}


def test_a_stronger_regularizer_starts_slower_and_ends_higher() -> None:
    arms = simulated_arms()
    trials = simulate_sweep(arms, 0, 0.0, np.random.default_rng(0))
    first = {arm.name: next(trial for trial in trials.values() if trial.arm == arm.name) for arm in arms}
    plain, mixed = (true_curve(arms, first[name]) for name in ("convnext", "mixup"))
    assert plain[5] > mixed[5] + 0.05
    assert mixed[-1] > plain[-1] + 0.02


def test_a_simulated_sweep_is_the_one_that_a_written_log_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = simulated_arms()[:2]
    unwritten = simulate_sweep(arms, 3, 0.01, np.random.default_rng(1))
    monkeypatch.setattr(simulated_search, "UnwrittenLog", lambda listener: EventLog(tmp_path, listener))
    written = simulate_sweep(arms, 3, 0.01, np.random.default_rng(1))
    assert len(written) == 2 * TRIALS
    assert [(t.arm, t.reason, t.score, t.sampled) for t in written.values()] == [
        (t.arm, t.reason, t.score, t.sampled) for t in unwritten.values()
    ]


def test_sources_are_read_from_a_csv_in_esc50s_layout(tones_folder: Path) -> None:
    clips = read_clips(tones_folder / "meta" / "esc50.csv")
    assert np.bincount(clips.folds).tolist() == [12] * 5
    assert np.bincount(clips.sources).tolist() == [2] * 30


def test_a_csv_without_sources_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"other.csv' is no csv with the columns fold and src_file"):
        read_clips(tmp_path / "other.csv")
    (tmp_path / "gap.csv").write_text("fold,src_file\n1,\n")
    with pytest.raises(UserError, match=r"gap.csv' has no clips, or clips without"):
        read_clips(tmp_path / "gap.csv")
    with pytest.raises(UserError, match=r"missing.csv' cannot be read: No such file"):
        read_clips(tmp_path / "missing.csv")


def test_json_is_one_object_that_a_seed_repeats(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(simulated_search, "SWEEPS", 1)

    def printed(*flags: str) -> str:
        monkeypatch.setattr(sys, "argv", ["simulate", "--draws", "4", *flags])
        assert main() == 0
        return capsys.readouterr().out

    first = printed("--json", "--seed", "5")
    found = json.loads(first)
    assert {"power_3pt", "power_2pt", "seeds_2pt", "false_positive", "coverage", "draws"} <= set(found)
    assert found["assumptions"]["clips"] == 2000
    assert set(found["report"]) == {"false_positive", "coverage"}
    assert found["accuracy"]["draws"] == 1 and set(found["accuracy"]["coverage"]) == {"1", "3", "10"}
    assert printed("--json", "--seed", "5") == first
    assert printed("--json", "--seed", "6") != first
    table = printed("--seed", "5")
    assert f"+2 points found with {found['seeds_2pt']} seeds" in table
    assert "label-smoothing" in table
    assert f"{100 * found['report']['false_positive']:.1f} % any arm of the report called different" in words(table)
    three = f"{100 * found['accuracy']['coverage']['3']:.1f} % its 95 % interval holds the truth with 3 seeds"
    assert three in words(table) and "accuracy of one arm, 1 simulated:" in table


def words(printed: str) -> str:
    return " ".join(printed.split())


def test_what_is_newly_simulated_moves_no_older_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(simulated_search, "SWEEPS", 1)
    monkeypatch.setattr(sys, "argv", ["simulate", "--draws", "4", "--seed", "5", "--json"])
    assert main() == 0
    found, rng = json.loads(capsys.readouterr().out), np.random.default_rng(5)
    older = simulate_confirmation(esc50_clips(), ASSUMED, 4, rng)
    older["search"], older["schedulers"] = simulate_search(ASSUMED, 5, rng), compare_schedulers(ASSUMED, 5, rng)
    assert {key: found[key] for key in older} == json.loads(json.dumps(older))


def test_noisier_runs_need_more_seeds_than_proposed() -> None:
    noisy = replace(ASSUMED, run_sd=0.04)
    [outcome] = simulate_confirmations(esc50_clips(), noisy, against_one(0.03, 0.0), (3,), 60, np.random.default_rng(0))
    assert outcome.better[:, 0].mean() < 0.7
