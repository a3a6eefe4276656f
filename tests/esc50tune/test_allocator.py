"""Freed memory is used again, in a thread as well, and a row of trials does not pile it up."""

from __future__ import annotations

import subprocess
import sys

import pytest

from esc50tune.allocator import keep_freed_memory

FAULTS = """
import resource, sys, threading
import torch
from esc50tune.allocator import keep_freed_memory

assert "keep" not in sys.argv or keep_freed_memory()

def touch(mb):
    torch.empty(mb << 18).fill_(1.0)

def work():
    for _ in range(3):
        touch(64), touch(16)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        touch(64), touch(16)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_a_thread_takes_again_what_it_freed() -> None:
    def faults(*how: str) -> int:
        return int(subprocess.run([sys.executable, "-c", FAULTS, *how], check=True, capture_output=True).stdout)

    assert faults("keep") < 0.5 * faults()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert not keep_freed_memory()
