"""The manifest: everything that tells how a results folder came to be. `docs/results-folder.md` describes it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from esc50tune.errors import UserError
from esc50tune.files import write_whole

FORMAT = 1  # raise it when a reader of older folders would misread a newer one
FILE = "manifest.json"
PACKAGES = ("torch", "torchaudio", "encodec", "ray", "optuna", "numpy", "pandas", "scipy", "soundfile")
MOST_NAMED = 5  # files in a message
ROOT = Path(__file__).resolve().parents[1]


def git(*command: str) -> str | None:
    """Return what git prints in this repository, or None where it is no git checkout."""
    try:
        done = subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def code_fingerprint() -> str:
    """Return a hash of the code that decides what a trial comes to; it tells changes that no commit has."""
    digest = hashlib.sha256()
    for path in sorted(path for package in ("esc50tune", "sweeps") for path in (ROOT / package).rglob("*.py")):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def code_changes(manifest: dict[str, Any]) -> str:
    """Name the files of the code that are not as at the commit that a manifest tells of, in brackets; nothing where
    git knows of none."""
    commit, packages = manifest.get("commit"), ("esc50tune", "sweeps")
    changed = git("diff", "--name-only", commit, "--", *packages) if commit else None
    if changed is None:
        return ""
    new = git("ls-files", "--others", "--exclude-standard", "--", *packages) or ""
    names = [*changed.splitlines(), *new.splitlines()]
    if not names:
        return ""
    then = ", which had changes of its own then" if manifest.get("dirty") else ""
    return (
        f" (not as at commit {commit[:7]}{then}: {', '.join(names[:MOST_NAMED])}{', ...' * (len(names) > MOST_NAMED)})"
    )


def describe_run() -> dict[str, Any]:
    """Return command line, commit, package versions and machine of this process."""
    changes = git("status", "--porcelain")
    return {
        "format": FORMAT,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "commit": git("rev-parse", "HEAD"),
        "dirty": None if changes is None else bool(changes),
        "code": code_fingerprint(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "machine": {
            "system": platform.platform(),
            "processor": processor_name(),
            "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
            "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        },
    }


def processor_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest in one step.

    Raises:
        UserError: it cannot be written; then the old one is there.
    """
    try:
        write_whole(folder / FILE, (json.dumps(manifest, indent=2, allow_nan=False) + "\n").encode(), safe=True)
    except OSError as error:
        raise UserError(f"'{folder / FILE}' cannot be written: {error.strerror}") from None


def begin_run(manifest: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the manifest with one more of its runs, of which `more` is told: what is resumed has several."""
    told = describe_run()
    run = {"started": told["created"], **{name: told[name] for name in ("command", "code", "machine")}}
    return manifest | {"runs": [*manifest.get("runs", []), run | more]}


def end_run(folder: Path, manifest: dict[str, Any], how: str, retries: list[dict[str, Any]]) -> None:
    """Write down how the last run ended, and which of its trials were tried again. A run that was killed has no end."""
    ended = {"ended": datetime.now(timezone.utc).isoformat(timespec="seconds"), "how": how, "retries": retries}
    *before, last = manifest["runs"]
    write_manifest(folder, manifest | {"runs": [*before, last | ended]})
