"""Where a sweep's results go: a folder that is not there yet, on a disk with room for them."""

from __future__ import annotations

import argparse
import os
import re
import shutil
from datetime import datetime
from pathlib import Path

from esc50tune.errors import UserError


def results_folder(args: argparse.Namespace) -> Path:
    if args.resume is not None:
        return args.resume
    name = args.name if args.name is not None else f"{datetime.now():%Y%m%d-%H%M%S}-{args.script}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise UserError(
            f"--name '{name}': a name has at most 100 letters, digits, '.', '_' and '-' alone and starts with a letter "
            "or digit"
        )
    parent = absolute("--results", args.results)
    existing = nearest_existing(parent)
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise UserError(f"--results '{args.results}': nothing can be written into '{existing}'; name another")
    if os.path.lexists(parent / name) and not args.debug:
        raise UserError(f"'{Path(args.results) / name}' exists already; choose another --name")
    return parent / name


def absolute(flag: str, path: str) -> Path:
    """Return the path that a flag names.

    Raises:
        UserError: it begins with the home of a user who does not exist.
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise UserError(f"{flag} '{path}': no user has that home") from None


def nearest_existing(path: Path) -> Path:
    """Return the path itself or the closest folder above it that exists."""
    return next(place for place in (path, *path.parents) if os.path.lexists(place))


def check_disk(folder: Path, checkpoint_bytes: int) -> None:
    """Look for room for a sweep's checkpoints, but for those that are there already.

    Raises:
        UserError: there is none.
    """
    existing = nearest_existing(folder)
    free = shutil.disk_usage(existing).free
    need = checkpoint_bytes - sum(path.stat().st_size for path in folder.glob("checkpoints/*.pt"))
    if need > free:
        raise UserError(
            f"the checkpoints need {need / 1e6:,.0f} MB, but '{existing}' has {free / 1e6:,.0f} MB free; make room, "
            "choose another --results, or fewer trials"
        )
