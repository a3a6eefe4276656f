"""Clips that lie on the GPU as they are stored, so that no step waits for the disk, the CPU, or a copy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from esc50tune import speedups
from esc50tune.data.clips import Clips, TrialData, batches

PART = 64  # clips that are copied at a time
MOST = 0.25  # share of the GPU's free memory that clips may take; the rest is the training's


class ResidentClips(Clips):
    """`clips` on `device`; what it returns lies there, too."""

    def __init__(self, clips: Clips, device: torch.device) -> None:
        parts = list(batches(PART, range(len(clips))))
        codes = [clips.codes(part) for part in parts]
        self.num_classes, self.labels = clips.num_classes, clips.labels.to(device)
        self._held = torch.cat([clips.stored(part).to(device) for part in parts])
        self._codes = None if codes[0] is None else torch.cat([part.to(device) for part in codes])

    def stored(self, indices: Sequence[int]) -> Tensor:
        return self._held[self.places(indices)]

    def codes(self, indices: Sequence[int]) -> Tensor | None:
        return None if self._codes is None else self._codes[self.places(indices)]


def on_gpu(data: TrialData, device: torch.device) -> TrialData:
    """Return the clips on a GPU where they are few enough for its memory; else, and on a CPU, as they are."""
    if device.type != "cuda" or not speedups.is_on("resident"):
        return data
    sides = [side for side in (data.train, data.val) if side is not None and not side.are_features]  # those lie there
    size = sum(len(side) * clip_bytes(side) for side in sides)
    if size > MOST * torch.cuda.mem_get_info(device)[0]:
        return data
    return resident(data, device)


def resident(data: TrialData, device: torch.device) -> TrialData:
    """Return the clips, copied to `device` where they do not lie there."""
    train, val = (
        side if side is None or side.are_features else ResidentClips(side, device) for side in (data.train, data.val)
    )
    return TrialData(train, val)


def clip_bytes(clips: Clips) -> int:
    """Return what one of the clips takes where it lies."""
    codes = clips.codes([0])
    return clips.stored([0]).nbytes + (0 if codes is None else codes.nbytes)
