"""What a trial died of, as Ray tells it, decides whether it is tried again."""

from __future__ import annotations

import errno

import pytest
import torch
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayActorError, RayTaskError

from esc50tune.errors import UserError
from sweeps.failure import Failure
from sweeps.shells import classified

TEXT = "Traceback\nRuntimeError: boom"
LOW = "1 worker(s) were killed due to the node running low on memory. Memory on the node was 22GB used / 23GB limit"
KILLED = f"{LOW}\nOOM kill reason: ...\nRefer to the documentation on how to address the out of memory issue"


def raised(cause: Exception) -> RayTaskError:
    """Return what Ray makes of an exception that a worker raised."""
    return RayTaskError("train", TEXT, cause)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (raised(RuntimeError("boom")), "error"),
        (raised(FileNotFoundError(errno.ENOENT, "no such file")), "error"),
        (raised(torch.OutOfMemoryError("CUDA out of memory")), "memory"),
        (raised(MemoryError()), "memory"),
        (raised(OSError(errno.ENOSPC, "no space left")), "storage"),
        (raised(OSError(errno.EDQUOT, "quota exceeded")), "storage"),
        (raised(OSError(errno.EROFS, "read-only file system")), "storage"),
        (raised(UserError("the cache is gone")), "storage"),
        (ActorDiedError(), "lost"),
        (RayActorError(error_msg="The actor died because its node has died."), "node"),
        (None, "error"),
    ],
)
def test_the_kind_of_a_failure_follows_from_its_cause(error: Exception | None, kind: str) -> None:
    assert classified(error, TEXT) == Failure(kind, TEXT)


@pytest.mark.parametrize(
    "error", [OutOfMemoryError(KILLED), RayActorError(error_msg=KILLED), raised(OutOfMemoryError(KILLED))]
)
def test_of_a_trial_that_ray_killed_for_its_memory_one_line_is_told(error: Exception) -> None:
    assert classified(error, TEXT) == Failure("memory", LOW)
