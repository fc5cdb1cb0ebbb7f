"""Wall time and peak memory of a command with all processes that it starts. Linux only."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

INTERVAL_S = 1.0


@dataclass(frozen=True)
class Cost:
    """Time and memory of a command."""

    status: int
    wall_s: float
    peak_bytes: int
    """Proportional set size, sampled: pages that processes share count once."""


def measure(command: list[str]) -> Cost:
    """Run a command, sampling the memory of its whole process tree."""
    started = time.perf_counter()
    process = subprocess.Popen(command)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(proportional_bytes, tree(process.pid))))
        time.sleep(INTERVAL_S)
    return Cost(process.returncode, time.perf_counter() - started, peak)


def tree(root: int) -> list[int]:
    """Return the ids of a process and of all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := parent_of(entry)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def parent_of(process: Path) -> int | None:
    """Return a process's parent, or None where it has just ended."""
    try:
        # The name in parentheses may hold spaces; the parent is the second field behind it.
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def proportional_bytes(pid: int) -> int:
    """Return a process's proportional set size; 0 where it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
