"""A sweep's clips are found again where they are, and no others are taken for them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from esc50tune.data.dataset import Dataset, read_dataset
from esc50tune.errors import UserError
from sweeps import same_data as module
from sweeps.same_data import same_data


def manifest_of(dataset: Dataset, **changes: Any) -> dict[str, Any]:
    facts = {"root": str(dataset.root), "fingerprint": dataset.fingerprint, "stand_in": False}
    return {"data": facts | {"classes": list(dataset.classes)} | changes, "encoders": {}, "resources": {}}


@pytest.mark.parametrize(("name", "place"), [("encoders", ()), ("resources", ()), ("classes", ("data",))])
def test_a_manifest_too_old_to_run_a_trial_again_is_told(tones: Dataset, name: str, place: tuple[str, ...]) -> None:
    manifest = manifest_of(tones)
    del (manifest[place[0]] if place else manifest)[name]
    with pytest.raises(UserError, match=f"damaged, or of an older version .*has no {name}.*: start a new sweep"):
        same_data(manifest, "auto")


def test_clips_are_taken_from_where_they_were_or_from_where_they_are_said_to_be(tones: Dataset, tmp_path: Path) -> None:
    assert same_data(manifest_of(tones), "auto").root == tones.root
    moved = shutil.copytree(tones.root, tmp_path / "moved")
    gone = manifest_of(tones, root=str(tmp_path / "gone"))
    with pytest.raises(UserError, match=r"the sweep's clips are not in '.*/gone' any more; --data FOLDER says where"):
        same_data(gone, "auto")
    assert same_data(gone, str(moved)).root == moved


@pytest.mark.parametrize("named", [True, False])
def test_other_clips_are_refused(tones: Dataset, named: bool) -> None:
    changed = manifest_of(tones, fingerprint="other")
    with pytest.raises(UserError, match="is not what the sweep ran on: it has another content"):
        same_data(changed, str(tones.root) if named else "auto")


def test_the_stand_in_is_made_again_where_it_is_gone(
    tones: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "stand_in_folder", lambda: shutil.copytree(tones.root, tmp_path / "made"))
    gone = manifest_of(tones, root=str(tmp_path / "cleared"), stand_in=True)
    assert same_data(gone, "auto").fingerprint == read_dataset(tmp_path / "made").fingerprint
