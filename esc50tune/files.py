"""Files that are there whole or not at all, whatever stops the process that writes them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file in one step: a reader finds the old one or the new one.

    Raises:
        OSError: it cannot be written; then the old one is there, and nothing else. It names `path`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        with suppress(OSError):  # on a read-only disk even what is not there cannot be removed
            temporary.unlink(missing_ok=True)
