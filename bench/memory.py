"""How much memory processes hold, where the system tells it: on Linux."""

from __future__ import annotations

import re
from pathlib import Path

TOLD = all(Path(f"/proc/self/{name}").is_file() for name in ("smaps", "clear_refs"))
LEFT_OUT = "Memory is left out: this system does not tell what processes share, nor their peaks."
# The start of a mapping: its addresses, rights, place in the file, device, inode, and the file's path, if it has one.
MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)")


def held_by(pid: int, folder: Path) -> int:
    """Return the bytes that a process holds of its own and of the files in `folder`; of what k processes hold
    together, a k-th (PSS). Other files are left out: of a library, any other program may hold a part."""
    held, counts, within = 0, False, f"{folder.resolve()}/"
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if mapping := MAPPING.fullmatch(line):
            counts = not mapping[1].startswith("/") or mapping[1].startswith(within)
        elif counts and line.startswith("Pss:"):
            held += 1024 * int(line.split()[1])
    return held


def begin_peak() -> int:
    """Let the peak of this process begin anew; return the bytes that it holds now."""
    Path("/proc/self/clear_refs").write_text("5")
    return told(Path("/proc/self/status"), "VmRSS")


def peak() -> int:
    """Return the most bytes that this process held since `begin_peak`."""
    return told(Path("/proc/self/status"), "VmHWM")


def told(path: Path, name: str) -> int:
    """Return one of the sizes that a file of /proc names, in bytes."""
    return 1024 * int(re.search(rf"^{name}:\s+(\d+) kB$", path.read_text(), re.MULTILINE)[1])
