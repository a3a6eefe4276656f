"""What there is to train on, and how it is shared among trials."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from esc50tune.errors import UserError


@dataclass(frozen=True)
class Machine:
    """CPUs and GPUs that trials may use, on this machine or on a cluster."""

    cpus: int
    gpus: int

    def __str__(self) -> str:
        gpus = "no GPU" if not self.gpus else f"{self.gpus} GPU{'s' * (self.gpus > 1)}"
        return f"{self.cpus} CPU core{'s' * (self.cpus > 1)}, {gpus}"


def this_machine() -> Machine:
    """Return what this process may use: its CPU affinity and its container's quota, and the visible GPUs."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(max(1, min(affinity, cgroup_cpus())), torch.cuda.device_count())


def cgroup_cpus() -> int:
    """Return the CPU quota of a Linux container (cgroup v2), rounded down; a large number where there is none."""
    quota = Path("/sys/fs/cgroup/cpu.max")
    limit, _, period = quota.read_text().strip().partition(" ") if quota.is_file() else ("max", "", "")
    return 1_000_000 if limit == "max" else max(1, int(limit) // int(period))


@dataclass(frozen=True)
class Share:
    """What one trial gets, and how many run at a time."""

    cpus: int
    gpus: float
    slots: int

    def __str__(self) -> str:
        gpu = f" and {self.gpus:g} GPU" if self.gpus else ""
        return f"{self.slots} trial{'s' * (self.slots > 1)} at a time, {self.cpus} CPU{gpu} each"


def share_machine(machine: Machine, gpus_per_trial: float | None, at_most: int | None) -> Share:
    """Divide `machine` among trials: one CPU each without a GPU, else `gpus_per_trial` of one.

    Args:
        machine: what there is.
        gpus_per_trial: share of a GPU, or a whole number of them; None for a whole one where there is any.
        at_most: no more trials at a time than this; None for as many as fit.

    Raises:
        UserError: more GPUs a trial are asked for than there are, or a share that cannot be.
    """
    if gpus_per_trial is None:
        gpus_per_trial = 1.0 if machine.gpus else 0.0
    if gpus_per_trial < 0 or (gpus_per_trial > 1 and gpus_per_trial != int(gpus_per_trial)):
        raise UserError(f"--gpus-per-trial {gpus_per_trial:g} must be between 0 and 1, or a whole number")
    if gpus_per_trial > machine.gpus:
        raise UserError(f"--gpus-per-trial {gpus_per_trial:g} is more than there is: {machine}")
    if not gpus_per_trial:
        slots = machine.cpus
    elif gpus_per_trial <= 1:
        slots = machine.gpus * math.floor(1 / gpus_per_trial + 1e-9)
    else:
        slots = machine.gpus // int(gpus_per_trial)
    slots = min(slots, machine.cpus, at_most or slots)
    cpus = max(1, machine.cpus // slots) if gpus_per_trial else 1
    return Share(cpus, gpus_per_trial, slots)


def gpu_share(peak_bytes: int, total_bytes: int, most: int = 4) -> float:
    """Return the share of a GPU that a trial with this peak memory needs: 1, 1/2, 1/3 or 1/4.

    Half as much again is kept in reserve, for fragmentation and each process's own CUDA context.
    """
    fit = int(total_bytes // (1.5 * peak_bytes)) if peak_bytes else most
    return 1.0 / max(1, min(most, fit))
