"""Checkpoints: whole or not at all, and never code."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path

import pytest
import torch

from esc50tune.checkpoint import load_checkpoint, save_checkpoint
from tests.esc50tune.test_files import no_file_beyond


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    model = torch.nn.Linear(2, 3)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    state = {
        "config": {"lr": 1e-3, "convnext_depths": [1, 2], "model": "convnext"},
        "result": {"epoch": 3, "val_loss": None, "diverged": False},
        "classifier": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    save_checkpoint(tmp_path / "new" / "folder" / "trial.pt", state)
    loaded = load_checkpoint(tmp_path / "new" / "folder" / "trial.pt")
    assert loaded["config"] == state["config"]
    assert loaded["result"] == state["result"]
    assert all(torch.equal(loaded["classifier"][name], value) for name, value in model.state_dict().items())
    torch.testing.assert_close(loaded["optimizer"], state["optimizer"], rtol=0, atol=0)


@pytest.mark.parametrize("at", [0, 100])
def test_a_failed_save_says_why_and_leaves_the_old_file_and_nothing_else(at, tmp_path):
    path = tmp_path / "trial.pt"
    save_checkpoint(path, {"epoch": 1})
    before = path.read_bytes()
    with no_file_beyond(at), pytest.raises(OSError, match="File too large") as caught:
        save_checkpoint(path, {"epoch": 2, "weights": torch.zeros(1_000)})
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_lies_there_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path, write, seen = tmp_path / "trial.pt", Path.write_bytes, []
    save_checkpoint(path, {"epoch": 1})

    def watch(file: Path, content: memoryview) -> None:
        write(file, content)
        seen.append(load_checkpoint(path))

    monkeypatch.setattr(Path, "write_bytes", watch)
    save_checkpoint(path, {"epoch": 2})
    assert seen == [{"epoch": 1}]
    assert load_checkpoint(path) == {"epoch": 2}
    assert list(tmp_path.iterdir()) == [path]


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_checkpoint_that_holds_code_is_refused_unrun(tmp_path):
    torch.save({"classifier": Touch(tmp_path / "owned")}, tmp_path / "trial.pt")
    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(tmp_path / "trial.pt")
    assert not (tmp_path / "owned").exists()
    torch.load(tmp_path / "trial.pt", weights_only=False)  # the same file does run code where code is allowed
    assert (tmp_path / "owned").exists()
