"""The cores that this process may use; containers and ``taskset`` limit them."""

from __future__ import annotations

import os


def usable_cores() -> tuple[int, ...]:
    """Return the cores that this process may run on, by Linux' numbers."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(usable_cores())
