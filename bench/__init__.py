"""The benchmarks: this project beside what would be run otherwise, and beside what the machine could do.

A new one is a file in this folder and a line in `PLACES`.
"""

from __future__ import annotations

# Each is a function that takes `Options` and returns an `Outcome`; the order is that of `python -m bench`.
PLACES = {
    "steps": "steps:run",
    "floor": "floor:run",
    "overhead": "overhead:run",
    "packing": "packing:run",
    "allocator": "allocator:run",
    "features": "features:run",
    "data": "data:run",
    "growth": "growth:run",
    "search": "search:run",
}
