"""How a process that trains on a CPU holds its memory.

glibc gives a large tensor's pages back to the system when it is freed, and the next step takes them again, one page
fault and 4 kB of zeroes at a time. Kept, they make a step of the causal ConvNeXt take 0.5 to 0.8 of the core-seconds,
one on latents 0.95, one on log-mel 0.7 to 1, and need no more memory at the peak (`python -m bench allocator`).
"""

from __future__ import annotations

import ctypes

# From malloc.h; mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process use again what it freed; tell whether it can: where the C library is not glibc, it cannot.

    One arena for all threads: the others have no room for large tensors, and a trial runs in a thread of Ray's.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return all(
        [
            library.mallopt(M_ARENA_MAX, 1),
            library.mallopt(M_MMAP_MAX, 0),
            library.mallopt(M_TRIM_THRESHOLD, LARGEST_INT),
        ]
    )
