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
    return FEATURES[config.feature].prepare(config, open_waves(dataset, config), split.train)


def open_waves(dataset: Dataset, config: TrialConfig) -> ClipCache:
    """Return the decoded clips; decode them first where that was not done yet.

    Raises:
        UserError: audio files are bad, or the disk has no room.
    """
    return open_cache(dataset, config.sample_rate, config.clip_seconds)
