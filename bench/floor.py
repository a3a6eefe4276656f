"""How far a training step is from the floor: its operations and bytes over what the machine can do at most.

Operations: three times those of the forward pass, since each product there is one for the input's gradient and one for
the weights'. Bytes: those that layers move if each reads its input and writes its output, and the same for gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.base import Options, Outcome
from bench.our_loop import OurLoop
from bench.plain_models import plain_model
from bench.study import MODELS, Case, study_case
from bench.timing import alternate, shown_seconds, timed

LAYERS = (nn.Conv1d, nn.Linear, nn.GroupNorm, nn.GELU, nn.LeakyReLU)
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SIDE = 2_048  # of the matrices that the peak is measured with
COPIED = 2**28  # bytes


def run(options: Options) -> Outcome:
    """Measure the machine's peaks, then a step of every model of the study."""
    peaks = {name: peak_operations(dtype, options) for name, dtype in TYPES.items()}
    peaks["copy"] = peak_bytes(options)
    figures: dict[str, Any] = {"peaks": peaks, "models": {}}
    for name in MODELS:
        with study_case(name, options.device) as case:
            figures["models"][name] = measure(case, options) | needs(case)
    return outcome(figures)


def peak_operations(dtype: torch.dtype, options: Options) -> float:
    """Return the operations a second of a matrix product, written as one or as a convolution, whichever is faster."""
    a, b = (torch.ones(SIDE, SIDE, dtype=dtype, device=options.device) for _ in range(2))
    image = a.T[None, :, None].contiguous(memory_format=torch.channels_last)  # [1, SIDE, 1, SIDE]
    ways = {"product": lambda: F.linear(a, b), "convolution": lambda: F.conv2d(image, b[..., None, None])}
    return 2 * SIDE**3 / fastest(ways, options)


def peak_bytes(options: Options) -> float:
    """Return the bytes a second that a copy reads and writes."""
    source = torch.ones(COPIED // 4, device=options.device)
    target = torch.empty_like(source)
    return 2 * COPIED / fastest({"copy": lambda: target.copy_(source)}, options)


def fastest(ways: dict[str, Callable[[], object]], options: Options) -> float:
    """Return the seconds of the fastest round of all."""
    for way in ways.values():
        timed(way, options.device)
    return min(timed(way, options.device) for way in ways.values() for _ in range(3 * options.rounds))


def measure(case: Case, options: Options) -> dict[str, Any]:
    """Return the median seconds of a step here, by precision."""
    steps = alternate({side: OurLoop(case, options.device, side).step for side in TYPES}, options)
    return {"clips": case.config.batch_size, "step": {side: median(each) for side, each in steps.items()}}


def needs(case: Case) -> dict[str, int]:
    """Return the operations of a step, and the numbers it moves, counted on the plain model."""
    shape = (case.config.batch_size, *case.data.train.waves([0]).shape[1:])
    with torch.device("meta"):
        model = plain_model(case.config, shape[1], case.data.num_classes)
        operations, outputs = count(model, torch.empty(shape))
    parameters = sum(p.numel() for p in model.parameters())
    passes = 2 if case.config.sam_rho else 1
    return {
        "operations": passes * 3 * operations,
        # Of each output: written and read, read again for the gradients, and its gradient written and read.
        # Of each parameter: read in either direction, its gradient written; the optimizer reads 4 and writes 3.
        "numbers": passes * (5 * outputs + 3 * parameters) + 7 * parameters,
    }


def count(model: nn.Module, x: Tensor) -> tuple[int, int]:
    """Return the operations of a forward pass, and how many numbers its layers put out."""
    outputs: list[int] = []
    for module in model.modules():
        if isinstance(module, LAYERS):
            module.register_forward_hook(lambda _module, _inputs, output: outputs.append(math.prod(output.shape)))
    with FlopCounterMode(display=False) as counter:
        model(x)
    return counter.get_total_flops(), sum(outputs)


def floor_of(told: dict[str, Any], peaks: dict[str, float], side: str) -> float:
    """Return the least seconds that the machine needs for a step in one precision."""
    return max(told["operations"] / peaks[side], bytes_of(told, side) / peaks["copy"])


def bytes_of(told: dict[str, Any], side: str) -> int:
    return told["numbers"] * torch.finfo(TYPES[side]).bits // 8


def outcome(figures: dict[str, Any]) -> Outcome:
    peaks = figures["peaks"]
    rows = [row(name, told, peaks, side) for name, told in figures["models"].items() for side in TYPES]
    return Outcome(
        "Distance to the floor: a training step here over what the machine needs at least",
        ("clips of a step", "in", "Gop", "GB", "floor", "step", "ratio"),
        rows,
        (
            f"Measured peaks: {peaks['fp32'] / 1e9:,.0f} Gop/s in fp32 and {peaks['bf16'] / 1e9:,.0f} in bf16, of "
            f"products of {SIDE} x {SIDE} matrices; {peaks['copy'] / 1e9:.1f} GB/s, of a copy of {COPIED >> 20} MB.",
            "The floor is the longer of operations and bytes at those peaks. Fused layers would move fewer bytes.",
        ),
        figures,
    )


def row(name: str, told: dict[str, Any], peaks: dict[str, float], side: str) -> tuple[str, ...]:
    floor, step = floor_of(told, peaks, side), told["step"][side]
    needed = (f"{told['operations'] / 1e9:,.0f}", f"{bytes_of(told, side) / 1e9:.2f}")
    return f"{name} × {told['clips']}", side, *needed, shown_seconds(floor), shown_seconds(step), f"{step / floor:.1f}"
