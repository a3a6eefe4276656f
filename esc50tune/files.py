"""Files that are there whole or not at all, whatever stops the process that writes them."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

CUT = re.compile(r"\..+\.\d+")  # names of writes that are under way, or were cut


def write_whole(path: Path, content: bytes | memoryview, safe: bool = False) -> None:
    """Write a file in one step: a reader finds the old one or the new one.

    Args:
        path: the file.
        content: what will be in it.
        safe: a reader does after a power cut, too. It takes as long as the disk takes, so that it is for what cannot be
            made again.

    Raises:
        OSError: it cannot be written; then the old one is there, and nothing else. It names `path`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        if safe:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        with suppress(OSError):  # on a read-only disk even what is not there cannot be removed
            temporary.unlink(missing_ok=True)


def remove_cut_writes(folder: Path) -> None:
    """Remove what was left in `folder` and below it by processes that were killed as they wrote: checkpoints are large.

    One that is still about to die only loses what nobody would read.
    """
    for path in folder.rglob(".*"):
        if CUT.fullmatch(path.name):
            with suppress(OSError):  # it is in nobody's way
                path.unlink()
