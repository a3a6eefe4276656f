"""Running a command and watching what its processes take; from Linux's /proc alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from esc50tune.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
PERIOD = 0.5  # seconds between two looks
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Ran:
    """A command that ended well.

    Attributes:
        begun: when it began, in seconds since 1970.
        cpu: the core-seconds that its processes but Ray's workers had taken, at times since 1970.
    """

    begun: float
    cpu: list[tuple[float, float]]

    def cpu_between(self, start: float, end: float) -> float | None:
        """Return the core-seconds taken between two times; None where nothing was seen."""
        taken = [cpu for at, cpu in self.cpu if start <= at <= end]
        return taken[-1] - taken[0] if taken else None


def run_watched(arguments: Sequence[str], folder: Path) -> Ran:
    """Run Python with `arguments` in `folder`, and look at its processes until it ends.

    Raises:
        UserError: it failed.
    """
    begun, seen = time.time(), []
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT
        )
        while process.poll() is None:
            seen.append((time.time(), cpu_seconds(process.pid)))
            time.sleep(PERIOD)
        if process.returncode:
            said.seek(0)
            raise UserError(f"'{' '.join(arguments)}' failed: {said.read().strip()[-2000:]}")
    return Ran(begun, [(at, cpu) for at, cpu in seen if cpu is not None])


def cpu_seconds(root: int) -> float | None:
    """Return the core-seconds of a process and of those below it but Ray's workers; None without /proc."""
    taken, parents = {}, {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()  # a name may hold blanks
            worker = (place / "cmdline").read_bytes().startswith(b"ray::")
        except OSError:  # it ended a moment ago
            continue
        parents[int(place.name)] = int(fields[1])
        taken[int(place.name)] = 0.0 if worker else (int(fields[11]) + int(fields[12])) / TICKS
    below = {root} & taken.keys()
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return sum(taken[pid] for pid in below) if below else None
