"""The benchmarks' arithmetic, and that they run and say what they measured."""

from __future__ import annotations

import json
import time
from pkgutil import resolve_name

import pytest
import torch

import bench
from bench import __main__ as main
from bench import features, floor, run, steps, timing
from bench.base import Options, Outcome
from bench.study import MODELS, study_case
from esc50tune.classifier import count_parameters
from esc50tune.errors import UserError
from sweeps.console import Console
from tests.bench.test_plain import CPU, TINY

ONCE = Options(CPU, rounds=1)


def test_sides_take_turns_and_the_first_round_does_not_count(monkeypatch):
    ran, clock = [], iter([0.0, 9.0, 9.0, 18.0, 20.0, 21.0, 21.0, 23.0, 30.0, 33.0, 33.0, 37.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    sides = {name: lambda name=name: ran.append(name) for name in "ab"}
    assert timing.alternate(sides, Options(CPU, rounds=2)) == {"a": [1.0, 3.0], "b": [2.0, 4.0]}
    assert "".join(ran) == "ababab"


def test_ratios_are_those_of_each_round():
    assert timing.ratios([2.0, 9.0, 4.0], [1.0, 3.0, 4.0]) == [2.0, 3.0, 1.0]
    assert timing.shown_ratios([2.0, 3.0, 1.0]) == "2.00 (1.00–3.00)"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(2.345, "2.35 s"), (0.0456, "45.6 ms"), (7e-6, "7 µs"), (123.4, "123 s"), (6_000, "100 min")]
)
def test_times_have_a_unit_that_fits(seconds, shown):
    assert timing.shown_seconds(seconds) == shown


def test_an_epoch_is_so_many_steps_and_evaluations():
    assert steps.whole_epochs([2.0, 4.0], [1.0, 3.0], clips=16) == [100 * 2.0 + 25 * 1.0, 100 * 4.0 + 25 * 3.0]


def test_operations_are_those_of_the_layers():
    with study_case("convnext-raw", CPU, **TINY) as case:
        needed = floor.needs(case)
    b, t, w, k = 3, 17_640 // 16, 4, 49
    outputs, products = 2 * b * w * t, 2 * b * w * t * 16
    for _ in range(4):
        t, w = t // 4, 2 * w
        products += 2 * b * t * w * (w // 2) * 4 + 3 * 2 * b * t * w * (k + 8 * w)
        outputs += 2 * b * t * w + 3 * b * t * w * 11
    products += 2 * b * t * w * 50
    outputs += b * t * 50
    assert needed["operations"] == 3 * products
    assert needed["numbers"] == 5 * outputs + 10 * count_parameters(case.config, 50)


def test_sam_needs_each_pass_twice():
    with study_case("causal-lm", CPU, **TINY) as case:
        sharp = floor.needs(case)
    with study_case("causal-lm", CPU, **TINY, sam_rho=0.0) as case:
        plain = floor.needs(case)
    assert sharp["operations"] == 2 * plain["operations"]


def test_the_floor_is_the_longer_of_operations_and_bytes():
    peaks = {"fp32": 100.0, "bf16": 400.0, "copy": 10.0}
    assert floor.floor_of({"operations": 1_000, "numbers": 20}, peaks, "fp32") == 10.0
    assert floor.floor_of({"operations": 1_000, "numbers": 50}, peaks, "fp32") == 20.0
    assert floor.floor_of({"operations": 1_000, "numbers": 50}, peaks, "bf16") == 10.0


@pytest.mark.parametrize("name", MODELS)
def test_each_model_of_the_study_is_measured(name):
    with study_case(name, CPU, **TINY) as case:
        told, far = steps.measure(case, ONCE), floor.measure(case, ONCE) | floor.needs(case)
    assert told["clips"] == 3
    for what in ("step", "evaluation", "epoch"):
        assert {side: len(each) for side, each in told[what].items()} == {"plain": 1, "fp32": 1, "bf16": 1}
    shown = steps.outcome({name: told})
    assert [row[1:3] for row in shown.rows] == [(a, b) for a in ("step", "epoch") for b in ("fp32", "bf16")]
    assert {row[0] for row in shown.rows} == {f"{name} × 3"}
    assert all(len(row) == len(shown.columns) for row in shown.rows)
    shown = floor.outcome({"peaks": {"fp32": 1e11, "bf16": 2e11, "copy": 1e10}, "models": {name: far}})
    assert all(len(row) == len(shown.columns) for row in shown.rows)


def test_epochs_are_timed_with_features_computed_once_and_in_each_step(monkeypatch):
    monkeypatch.setattr(features, "TRAINED", 10)
    monkeypatch.setattr(features, "EVALUATED", 10)
    shown = features.run(ONCE)
    assert [row[0] for row in shown.rows] == [f"{arm}, small" for arm in features.ARMS]
    assert all(len(seconds) == 1 for sides in shown.figures.values() for seconds in sides.values())
    assert all(len(row) == len(shown.columns) for row in shown.rows)


def test_peaks_are_measured(monkeypatch):
    monkeypatch.setattr(floor, "SIDE", 64)
    monkeypatch.setattr(floor, "COPIED", 2**12)
    assert floor.peak_operations(torch.bfloat16, ONCE) > 0
    assert floor.peak_bytes(ONCE) > 0


@pytest.fixture
def made_up(monkeypatch):
    """One benchmark that measures nothing."""

    def run(options: Options) -> Outcome:
        return Outcome(
            "Made up", ("", "rounds"), [("row", str(options.rounds))], ("A note.",), {"rounds": options.rounds}
        )

    monkeypatch.setattr(steps, "run", run)
    monkeypatch.setattr(bench, "PLACES", {"steps": "steps:run"})


def call(monkeypatch, *words: str) -> int:
    threads = torch.get_num_threads()
    monkeypatch.setattr("sys.argv", ["bench", *words])
    try:
        return main.main()
    finally:
        torch.set_num_threads(threads)


def test_it_prints_the_machine_a_table_and_notes_and_writes_the_figures(made_up, monkeypatch, capsys, tmp_path):
    assert call(monkeypatch, "steps", "--rounds", "3", "--threads", "1", "--json", str(tmp_path / "told.json")) == 0
    printed = capsys.readouterr().out
    assert f"1 thread, torch {torch.__version__}" in " ".join(printed.split()) or torch.cuda.is_available()
    assert all(text in printed for text in ("Made up", "rounds", "row", "A note."))
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["machine"]["torch"] == torch.__version__
    assert told["steps"]["figures"] == {"rounds": 3}


def test_what_was_measured_is_there_though_a_later_benchmark_fails(made_up, monkeypatch, tmp_path):
    def fail(options: Options) -> Outcome:
        raise UserError("no memory left")

    monkeypatch.setattr(floor, "run", fail)
    monkeypatch.setitem(bench.PLACES, "floor", "floor:run")
    with pytest.raises(UserError, match="no memory"):
        call(monkeypatch, "--json", str(tmp_path / "told.json"))
    assert json.loads((tmp_path / "told.json").read_text())["steps"]["figures"] == {"rounds": 3}


def test_figures_that_cannot_be_written_are_told_before_anything_is_measured(made_up, monkeypatch, capsys, tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        call(monkeypatch, "--json", str(tmp_path / "nowhere/told.json"))
    assert "Made up" not in capsys.readouterr().out


def test_a_table_is_whole_where_no_terminal_is_wide_enough(capsys):
    cells = tuple(f"the figure of column {number}" for number in range(9))
    run.print_outcome(Outcome("Wide", cells, [cells], ()), Console())
    printed = capsys.readouterr().out
    assert all(printed.count(cell) == 2 for cell in cells)


def test_an_unknown_benchmark_is_named(made_up, monkeypatch):
    with pytest.raises(UserError, match="'stpes'; did you mean 'steps'"):
        call(monkeypatch, "stpes")


def test_every_benchmark_can_be_found():
    assert all(callable(resolve_name(f"bench.{place}")) for place in bench.PLACES.values())
