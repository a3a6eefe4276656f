"""What goes to a device in each step goes there without making the host wait."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def send(x: Tensor | np.ndarray, device: torch.device) -> Tensor:
    """Return `x` on `device`.

    A copy from ordinary memory waits until the GPU has done all that it was given, one from pinned memory does not, so
    that the next step is prepared meanwhile.
    """
    x = torch.from_numpy(x) if isinstance(x, np.ndarray) else x
    if device.type != "cuda" or x.device.type == "cuda":
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)
