"""Cyclic shift, gain and polarity: changes of a waveform that never change what is heard in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from pydantic import BaseModel

from esc50tune.data.batch import Batch
from esc50tune.data.sending import send
from esc50tune.knobs import Search, knob
from esc50tune.regularizers.base import Regularizer


class Shift(Regularizer):
    """Turns each clip around in time by a random amount, changes its level, and flips its sign."""

    name = "shift"
    on = {"shift": 1.0, "gain_db": 6.0, "polarity": 0.5}
    wave_knobs = ("gain_db", "polarity")

    class Knobs(BaseModel):
        shift: float = knob(
            0.0,
            "range of cyclic shifts, as a share of the clip; drawn evenly, up to half of it in either direction",
            source="EAT-S (cyclic shift); searched up to 1, which makes the onset uninformative",
            search=Search(0.1, 1.0),
            ge=0.0,
            le=1.0,
        )
        gain_db: float = knob(
            0.0,
            "largest gain, drawn evenly from -gain_db to gain_db",
            unit="dB",
            source="between-class learning and ACDNet: 6 dB",
            ge=0.0,
            le=40.0,
        )
        polarity: float = knob(0.0, "probability that a clip's sign is flipped", source="EAT-S: .5", ge=0.0, le=1.0)

    def on_batch(self, batch: Batch, rng: np.random.Generator) -> Batch:
        size, length, config = len(batch), batch.waves.shape[-1], self.config
        offset = np.rint(rng.uniform(-1.0, 1.0, size) * config.shift * length / 2.0).astype(np.int64)
        gain = 10.0 ** (rng.uniform(-1.0, 1.0, size) * config.gain_db / 20.0)
        sign = np.where(rng.uniform(size=size) < config.polarity, -1.0, 1.0)
        # What leaves a clip at the right returns at the left.
        device = batch.waves.device
        place = (torch.arange(length, device=device) - send(offset, device)[:, None]) % length
        turned = batch.over_time(place)
        factor = send(gain * sign, device).to(batch.waves.dtype)
        return replace(turned, waves=turned.waves * factor[:, None, None])
