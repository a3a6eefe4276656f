"""What a trial died of, as Ray tells it, decides whether it is tried again."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest
import torch
from ray.air.execution._internal import RayActorManager
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayActorError, RayTaskError

from esc50tune.errors import UserError
from sweeps.failure import Failure, summary
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
        (RayActorError(error_msg="The actor died because its node has died."), "node"),
        (None, "error"),
    ],
)
def test_the_kind_of_a_failure_follows_from_its_cause(error: Exception | None, kind: str) -> None:
    assert classified(error, TEXT) == Failure(kind, TEXT)


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EIO", "ESTALE"])
def test_of_a_disk_that_cannot_be_written_the_file_and_the_reason_are_told(name: str) -> None:
    error = raised(OSError(getattr(errno, name), "no luck", "checkpoints/trial-0001.pt"))
    assert classified(error, TEXT) == Failure("storage", "'checkpoints/trial-0001.pt': no luck")


def test_what_a_worker_says_in_a_sentence_is_told_as_it_is() -> None:
    assert classified(raised(UserError("the cache is gone")), TEXT) == Failure("storage", "the cache is gone")


@pytest.mark.parametrize(
    "error", [OutOfMemoryError(KILLED), RayActorError(error_msg=KILLED), raised(OutOfMemoryError(KILLED))]
)
def test_of_a_trial_that_ray_killed_for_its_memory_one_line_is_told(error: Exception) -> None:
    assert classified(error, TEXT) == Failure("memory", LOW)


def test_of_a_lost_process_what_ray_knows_is_told_without_advice() -> None:
    known = "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: "
    text = f"{TEXT}\n{known}End of file. Some common causes include: (1) the process was killed"
    assert classified(ActorDiedError(), text) == Failure("lost", "End of file.")
    assert classified(ActorDiedError(), "The actor died.") == Failure("lost", "The actor died.")


CODE = '  File "a.py", line 1, in one\n    two()\n    ^^^^^\n  File "b.py", line 2, in two\n    raise error\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"ray::train()\n{CODE}ValueError: a bug", "ValueError: a bug"),
        (f"ray::train()\n{CODE}CUDAError: an assert\nCompile with TORCH_USE_CUDA_DSA\n", "CUDAError: an assert"),
        (f"ray::train()\n{CODE}KeyError: 1\n\nin turn:\n\n{CODE}OSError: 2", "OSError: 2"),
        (f"ray::train()\n{CODE}  [Previous line repeated 9 more times]\nRecursionError: deep", "RecursionError: deep"),
        ("Failure # 1\nThe actor died.\n", "The actor died."),
        (f"ray::train()\n{CODE}E: \x1b[2J\x07", r"E: \x1b[2J\x07"),
        (f"ray::train()\n{CODE}" + "E" * 999, "E" * 250 + " ..."),
        ("", "no message"),
    ],
)
def test_a_traceback_is_summed_up_by_the_line_that_says_what_was_raised(text: str, line: str) -> None:
    assert summary(text) == line


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
