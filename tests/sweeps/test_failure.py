"""What a trial died of, as Ray tells it, decides whether it is tried again."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest
import torch
from ray.air.execution._internal import RayActorManager
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayActorError, RayTaskError

from esc50tune.errors import UserError
from sweeps.failure import Failure
from sweeps.shells import classified, kills_for_memory_end_trials

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


def test_of_a_lost_process_what_ray_knows_is_told_without_advice() -> None:
    known = "The actor is dead because its worker process has died. Worker exit detail: End of file."
    failure = classified(ActorDiedError(), f"{TEXT}\n{known} Some common causes include: (1) the process was killed")
    assert (failure.kind, failure.last_line) == ("lost", known)


def test_a_trial_that_ray_killed_for_its_memory_ends_that_trial_alone() -> None:
    """Ray Tune 2.60 gives up at this error of a running trial; where it does not any more, the shell can go."""
    seen: list[Exception] = []
    actor = SimpleNamespace(actor_id=1, _on_error=lambda _, error: seen.append(error))
    told = {"tracked_actor_task": SimpleNamespace(_tracked_actor=actor, _on_error=None)}
    manager = SimpleNamespace(_failed_actor_ids=set(), _cleanup_actor=lambda tracked_actor: None)
    with pytest.raises(RuntimeError, match="Caught unexpected exception"):
        RayActorManager._actor_task_failed(manager, **told, exception=OutOfMemoryError(KILLED))
    with kills_for_memory_end_trials():
        RayActorManager._actor_task_failed(manager, **told, exception=OutOfMemoryError(KILLED))
    (error,) = seen
    assert classified(error, TEXT) == Failure("memory", LOW)
