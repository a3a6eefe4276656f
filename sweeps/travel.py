"""Clips travel to the nodes of a cluster through Ray's object store, once a node, where its cache lacks them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import ray
from filelock import FileLock

from esc50tune.data.cache import INDEX, ClipCache, cache_root
from esc50tune.errors import UserError
from esc50tune.files import write_whole

# a cache's place below the cache's root -> the files it needs, by their places, the index last -> their bytes
Freight = dict[str, dict[str, ray.ObjectRef]]


def place(path: Path) -> str:
    """Return where something lies below the cache's root, on any node."""
    return path.resolve().relative_to(cache_root().resolve()).as_posix()


def pack(caches: Iterable[ClipCache]) -> Freight:
    """Put the files of `caches` into the object store, each once."""
    sent: dict[Path, ray.ObjectRef] = {}
    freight: Freight = {}
    for cache in caches:
        folders = [(cache.folder / cache.latents).resolve(), cache.folder.resolve()]
        files = [path for folder in dict.fromkeys(folders) for path in sorted(folder.glob("[!.]*.npy"))]
        files += [folder / INDEX for folder in dict.fromkeys(folders)]
        for path in files:
            if path not in sent:
                sent[path] = ray.put(np.fromfile(path, np.uint8))
        freight[place(cache.folder)] = {place(path): sent[path] for path in files}
    return freight


def unpack(where: str, freight: Freight) -> Path:
    """Return the folder of the cache whose place is `where`, after fetching what this node lacks of it.

    Several processes may call this at once: one writes, the others wait.

    Raises:
        UserError: the cache is gone, and nothing was sent.
    """
    folder = cache_root() / where
    if not (folder / INDEX).is_file():
        if where not in freight:
            raise UserError(f"the cache '{folder}' is gone; it is made again at the next start")
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            for name, content in freight[where].items():
                fetch(cache_root() / name, content)
    return folder


def fetch(path: Path, content: ray.ObjectRef) -> None:
    """Write one file in one step, where it is not there."""
    if not path.is_file():
        write_whole(path, ray.get(content))
