"""How many trials share a GPU: by memory, by what is measured side by side, and what is said of it."""

from __future__ import annotations

import io
from queue import SimpleQueue
from threading import Barrier, BrokenBarrierError
from types import SimpleNamespace

import pytest
import torch

from esc50tune.config import TrialConfig
from esc50tune.errors import UserError
from sweeps import packing
from sweeps.console import Console
from sweeps.cost import Cost
from sweeps.packing import clips_a_second, measured_share, train_for_a_while, trials_that_pay
from sweeps.resources import Machine, trials_that_fit

CPU = torch.device("cpu")
TINY = TrialConfig(
    sample_rate=2_000, clip_seconds=0.5, logmel_bands=16, convnext_width=4, convnext_depths=[1], batch_size=3
)


@pytest.mark.parametrize(
    ("peak", "total", "fit"), [(10, 16, 1), (10, 31, 2), (10, 46, 3), (1, 100, 8), (100, 16, 1), (0, 9, 8)]
)
def test_as_many_trials_fit_as_one_and_a_half_of_the_measured_peak_do(peak: int, total: int, fit: int) -> None:
    assert trials_that_fit(peak, total) == fit


@pytest.mark.parametrize(
    ("rates", "most", "count"),
    [
        ({1: 100, 2: 190, 4: 300, 8: 310}, 8, 4),  # 8 bring 3 %
        ({1: 100, 2: 102}, 8, 1),
        ({1: 100, 2: 150, 3: 200}, 3, 3),
        ({1: 100, 2: 150, 4: 0.0}, 8, 2),  # 4 do not fit
        ({1: 0.0, 2: 0.0}, 8, 1),  # none fits: another program has the memory
        ({}, 1, 1),  # nothing to try
    ],
)
def test_trials_are_doubled_as_long_as_that_pays(rates: dict[int, float], most: int, count: int) -> None:
    assert trials_that_pay(rates.__getitem__, most) == count


def test_trials_train_side_by_side_in_processes_of_their_own() -> None:
    assert clips_a_second(TINY, 4, count=2, device=CPU, threads=1, seconds=0.1) > 0


def test_the_clips_of_all_steps_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 10.0, 11.0, 12.0, 13.0, 14.0])  # start; before each of three steps; after them; at the end
    monkeypatch.setattr(packing.time, "perf_counter", lambda: next(clock))
    waits = []
    assert packing.rate_alone(TINY, 4, CPU, 1, 3.0, lambda: waits.append(True)) == 3 * 3 / 4.0
    assert waits == [True]


def test_trials_that_fail_are_told_with_what_to_do(capfd: pytest.CaptureFixture) -> None:
    with pytest.raises(UserError, match="--gpus-per-trial says how many to run at a time"):
        clips_a_second(TINY, -1, count=2, device=CPU, threads=1, seconds=0.1)
    assert "negative dimension" in capfd.readouterr().err


def test_one_trial_without_memory_lets_none_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> float:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(packing, "rate_alone", no_room)
    ready = Barrier(2)
    with pytest.raises(SystemExit) as left:
        train_for_a_while(TINY, 4, CPU, 1, 0.1, ready, SimpleQueue())
    assert left.value.code == packing.NO_MEMORY
    with pytest.raises(BrokenBarrierError):
        ready.wait()
    monkeypatch.setattr(packing, "rate_alone", lambda *parts: parts[-1]())
    with pytest.raises(SystemExit) as left:
        train_for_a_while(TINY, 4, CPU, 1, 0.1, ready, SimpleQueue())
    assert left.value.code == packing.NOT_ALONE


def test_the_slowest_trial_is_tried_and_the_hungriest_must_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, hungry = TINY.model_copy(update={"lr": 1e-3}), TINY.model_copy(update={"lr": 2e-3})
    costs = {slow.lr: Cost(9.0, 1 << 30), hungry.lr: Cost(2.0, 3 << 30)}
    tried = []

    def rate(config: TrialConfig, classes: int, count: int, device: torch.device, threads: int) -> float:
        tried.append((config.lr, count, threads))
        return 100.0 * count

    monkeypatch.setattr(packing, "measure", lambda config, *_: costs[config.lr])
    monkeypatch.setattr(packing, "clips_a_second", rate)
    monkeypatch.setattr(packing, "this_machine", lambda: Machine(cpus=16, gpus=2))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=16 << 30))
    said = io.StringIO()
    assert measured_share([slow, hungry], 4, 240, 80, Console(file=said)) == 1 / 3
    assert tried == [(slow.lr, 1, 8), (slow.lr, 2, 4), (slow.lr, 3, 2)]
    assert "3 at a time on each GPU: clips/s 100 with 1, 200 with 2, 300 with 3" in said.getvalue()


def test_where_not_one_step_fits_each_trial_gets_a_whole_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Cost:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(packing, "measure", full)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    said = io.StringIO()
    assert measured_share([TINY], 4, 240, 80, Console(file=said, width=200)) == 1.0
    assert "one at a time: a step does not fit the GPU's memory" in said.getvalue()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to measure on")
def test_without_a_gpu_here_each_trial_gets_a_whole_one() -> None:
    said = io.StringIO()
    assert measured_share([TINY], 4, 240, 80, Console(file=said)) == 1.0
    assert "no GPU here to measure a trial on" in said.getvalue()
