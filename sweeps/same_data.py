"""The clips that a sweep ran on, wherever they lie by now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analysis.shapes import Shape, misfit
from esc50tune.data.dataset import Dataset
from esc50tune.data.locate import find_dataset
from esc50tune.data.synthetic import stand_in_folder
from esc50tune.errors import UserError

# what older manifests may lack, and what they must have for their trials to run once more
NEEDED: Shape = {name: lambda _: True for name in ("encoders", "resources")} | {"data": {"classes": lambda _: True}}


def same_data(manifest: dict[str, Any], named: str) -> Dataset:
    """Return the clips of the sweep that a manifest describes.

    Args:
        manifest: the sweep's.
        named: the folder that `--data` names; 'auto' for the one of the sweep. The stand-in is made again where it is
            gone.

    Raises:
        UserError: they are not there, or not the same any more; or the manifest is too old to tell.
    """
    if fault := misfit(manifest, NEEDED):
        raise UserError(f"this sweep's manifest is damaged, or of an older version ({fault}): start a new sweep")
    data = manifest["data"]
    dataset = find_dataset(place_of(data, named))
    if dataset.fingerprint != data["fingerprint"]:
        raise UserError(f"'{dataset.root}' is not what the sweep ran on: it has another content")
    return dataset


def place_of(data: dict[str, Any], named: str) -> str:
    """Return the folder to look for a sweep's clips in.

    Args:
        data: what its manifest says of them.
        named: the folder that `--data` names; 'auto' for the one of the sweep.

    Raises:
        UserError: they are where they were no more, and no other place is named.
    """
    if named != "auto":
        return named
    if data["stand_in"]:
        return str(stand_in_folder())  # real clips may have come meanwhile, and are no part of this sweep
    if not Path(data["root"]).exists():
        raise UserError(f"the sweep's clips are not in '{data['root']}' any more; --data FOLDER says where they are")
    return data["root"]
