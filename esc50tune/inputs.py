"""From a dataset and a configuration to the clips that a trial's batches are made of."""

from __future__ import annotations

from esc50tune.config import TrialConfig
from esc50tune.data.cache import ClipCache, open_cache
from esc50tune.data.dataset import Dataset
from esc50tune.data.split import Split
from esc50tune.features import FEATURES


def open_clips(dataset: Dataset, config: TrialConfig, split: Split) -> ClipCache:
    """Return the decoded clips, or those that the feature computes beforehand; make them first where they are missing.

    Raises:
        UserError: audio files are bad, the disk has no room, or what the feature needs cannot be had.
    """
    waves = open_cache(dataset, config.sample_rate, config.clip_seconds)
    return FEATURES[config.feature].prepare(config, waves, split.train)
