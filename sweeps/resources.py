"""What there is to train on, and how it is shared among trials."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
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


def share_machines(machines: Sequence[Machine], gpus_per_trial: float | None, at_most: int | None) -> Share:
    """Divide machines among trials: one CPU each without a GPU, else `gpus_per_trial` of one.

    A trial runs on one machine, so that each is divided for itself.

    Args:
        machines: what there is; one, or the nodes of a cluster.
        gpus_per_trial: share of a GPU, at most a whole one; None for a whole one where there is any, 0 for none.
        at_most: no more trials at a time than this; None for as many as fit.

    Raises:
        UserError: more GPU is asked for than there is or a trial can use.
    """
    gpus = sum(machine.gpus for machine in machines)
    wanted = (1.0 if gpus else 0.0) if gpus_per_trial is None else gpus_per_trial
    if not 0.0 <= wanted <= 1.0:  # not a number fails this too
        raise UserError(f"--gpus-per-trial {wanted:g} must be from 0 to 1: a trial trains on one GPU or a share of it")
    if wanted > gpus:
        raise UserError(f"--gpus-per-trial {wanted:g} is more than there is: {total(machines)}")
    if not wanted:
        slots = sum(machine.cpus for machine in machines)
        return Share(1, 0.0, min(slots, at_most or slots))
    usable = [machine for machine in machines if machine.gpus and machine.cpus]
    fit = [min(machine.gpus * math.floor(1.0 / wanted + 1e-9), machine.cpus) for machine in usable]
    slots = min(sum(fit), at_most or sum(fit))
    busiest = [min(count, slots) for count in fit]
    cpus = min(machine.cpus // count for machine, count in zip(usable, busiest, strict=True))
    return Share(cpus, wanted, slots)


def total(machines: Sequence[Machine]) -> Machine:
    """Add machines up."""
    return Machine(sum(machine.cpus for machine in machines), sum(machine.gpus for machine in machines))


def trials_that_fit(peak_bytes: int, total_bytes: int, most: int = 8) -> int:
    """Return how many trials with this peak memory fit a GPU, from 1 to `most`.

    Half as much again is kept in reserve, for fragmentation and each process's own CUDA context.
    """
    fit = int(total_bytes // (1.5 * peak_bytes)) if peak_bytes else most
    return max(1, min(most, fit))


def check_precision(precisions: Iterable[str], share: Share) -> None:
    """Refuse bfloat16 on a processor that would have to emulate it: slower than single precision, and less exact.

    Args:
        precisions: the arms' knob.
        share: what a trial gets.

    Raises:
        UserError: an arm wants it, and a trial gets no GPU.
    """
    has_instructions = any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    if "bf16" in precisions and not share.gpus and not has_instructions:
        raise UserError("--set precision=bf16: this processor has no bfloat16 instructions; leave it out")
