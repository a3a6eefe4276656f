"""Which machine the figures are of."""

from __future__ import annotations

from typing import Any

import torch

from sweeps.manifest import processor_name
from sweeps.resources import this_machine


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, threads, GPUs and torch."""
    return {
        "processor": processor_name(),
        "cores": this_machine().cpus,
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "torch": torch.__version__,
    }


def name_machine(machine: dict[str, Any]) -> str:
    """Return the line above the tables."""
    gpus = f", {', '.join(machine['gpus'])}" if machine["gpus"] else ""
    cores, threads = (f"{machine[key]} {key[: -1 if machine[key] == 1 else None]}" for key in ("cores", "threads"))
    return f"{machine['processor']}, {cores}, {threads}{gpus}, torch {machine['torch']}"
