"""A predictor as an ONNX file: the whole of it, from waveforms to logits, with features and averaged crops."""

from __future__ import annotations

import json
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from esc50tune import speedups
from esc50tune.errors import UserError
from esc50tune.winner.predictor import Predictor

CLIPS = 8  # random ones that it is checked on
TOLERANCE = 1e-4  # of the largest logit, or of 1: single precision takes less than a tenth of it


def write_checked(predictor: Predictor, facts: dict[str, Any], out: Path) -> float:
    """Write `out` in one step, and only if onnxruntime computes the same with it as torch.

    Args:
        predictor: on the CPU.
        facts: what the file carries besides, by name, each as JSON.
        out: the file.

    Returns:
        The largest difference of a logit.

    Raises:
        UserError: the logits differ, or the file cannot be written.
    """
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        write(predictor, facts, temporary)
        difference = largest_difference(predictor, temporary)
        temporary.replace(out)
    except OSError as error:
        raise UserError(f"'{out}' cannot be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return difference


def write(predictor: Predictor, facts: dict[str, Any], path: Path) -> None:
    """Write a predictor in single precision, for batches of any size."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of packages that it does without
    # Without the speed-ups, which are detours for any other program than torch on a CPU.
    with speedups.without(*speedups.SPEEDUPS), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what torch itself will change
        program = torch.onnx.export(
            predictor,
            (torch.zeros(2, 1, predictor.length),),
            input_names=["waves"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    program.model.metadata_props.update({name: json.dumps(fact) for name, fact in facts.items()})
    program.save(path, external_data=False)


def largest_difference(predictor: Predictor, path: Path) -> float:
    """Return the largest difference between onnxruntime's logits and torch's, on noise of -80 to -10 dB.

    Raises:
        UserError: it is too large.
    """
    levels = np.logspace(-4, -0.5, CLIPS, dtype=np.float32)[:, None, None]
    waves = levels * np.random.default_rng(0).standard_normal((CLIPS, 1, predictor.length), np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    parts = np.split(waves, [1])  # one clip alone, then the others together
    found = np.concatenate([session.run(["logits"], {"waves": part})[0] for part in parts])
    expected = predictor(torch.from_numpy(waves)).numpy()
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise UserError(f"onnxruntime's logits differ from torch's by {difference:.0e}: no file is written")
    return difference
