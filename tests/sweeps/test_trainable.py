"""What a worker does before it trains."""

from __future__ import annotations

import sys

import pytest
import torch

from sweeps import trainable


def test_a_breakpoint_that_was_left_behind_fails_a_trial_instead_of_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "breakpointhook", sys.breakpointhook)  # put back afterwards
    monkeypatch.setattr(trainable, "unpack", lambda *_: breakpoint())  # noqa: T100
    monkeypatch.setattr(trainable, "keep_freed_memory", lambda: True)
    for run in (trainable.run_trial, trainable.run_confirmation):
        with pytest.raises(RuntimeError, match="take it out, or step through with --debug"):
            run({"threads": torch.get_num_threads(), "cache": None, "fold": 1}, None)
