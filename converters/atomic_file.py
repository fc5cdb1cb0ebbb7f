"""Write a file completely or not at all."""

from __future__ import annotations

from pathlib import Path


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write beside the target, then rename: a reader finds the old file or the new one."""
    beside = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside.write_bytes(data)
    beside.replace(path)
