"""The manifest: everything that tells how a results folder came to be. `docs/results-folder.md` describes it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

FORMAT = 1  # raise it when a reader of older folders would misread a newer one
FILE = "manifest.json"
PACKAGES = ("torch", "torchaudio", "encodec", "ray", "optuna", "numpy", "pandas", "scipy", "soundfile")
ROOT = Path(__file__).resolve().parents[1]


def git(*command: str) -> str | None:
    """Return what git prints in this repository, or None where it is no git checkout."""
    try:
        done = subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def describe_run() -> dict[str, Any]:
    """Return command line, commit, package versions and machine of this process."""
    changes = git("status", "--porcelain")
    return {
        "format": FORMAT,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "commit": git("rev-parse", "HEAD"),
        "dirty": None if changes is None else bool(changes),
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
    """Write the manifest in one step."""
    temporary = folder / f".{FILE}.{os.getpid()}"
    temporary.write_text(json.dumps(manifest, indent=2, allow_nan=False) + "\n")
    temporary.replace(folder / FILE)
