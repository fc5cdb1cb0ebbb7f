"""The memory of checked pictures: hashes, so that later runs neither decode nor read them again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.ondevice.files import write_bytes

_SETTLED_NS = 2 * 10**9
"""A file that was written less than two seconds ago may change again at the same time stamp."""

_UNSETTLED = -1
_SHA256_DIGITS = 64


@dataclass(frozen=True)
class CheckedFile:
    """A picture that was found to be whole."""

    path: str
    size: int
    """Bytes; -1 where the file was too fresh to be known again by its time."""
    time_ns: int
    """Time of its last change."""
    sha256: str
    look: str
    """Its perceptual hash, hexadecimal; empty for a picture of one colour."""

    @property
    def line(self) -> str:
        """The file's line in the memory."""
        return "\t".join(
            (self.sha256, self.look, str(self.size), str(self.time_ns), json.dumps(self.path))
        )


@dataclass(frozen=True)
class Memory:
    """All pictures that were checked before."""

    files: Mapping[str, CheckedFile]
    """By path."""
    looks: Mapping[str, str]
    """Perceptual hashes by sha256 of the content."""

    def find(self, path: Path) -> CheckedFile | None:
        """Return what is known of a file that was not changed since; None asks to read it."""
        known = self.files.get(str(path))
        if known is None:
            return None
        try:
            found = path.stat()
        except OSError:
            return None
        same = (known.size, known.time_ns) == (found.st_size, found.st_mtime_ns)
        return known if same else None


def describe_file(path: Path, sha256: str, look: str) -> CheckedFile:
    """Describe a file that was just read."""
    try:
        found = path.stat()
    except OSError:  # gone already
        return CheckedFile(str(path), _UNSETTLED, 0, sha256, look)
    fresh = found.st_mtime_ns > time.time_ns() - _SETTLED_NS
    size = _UNSETTLED if fresh else found.st_size
    return CheckedFile(str(path), size, found.st_mtime_ns, sha256, look)


def read_memory(path: Path) -> Memory:
    """Read the memory; what is damaged in it counts as not known."""
    files: dict[str, CheckedFile] = {}
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        try:
            sha256, look, size, time_ns, name = line.split("\t")
            bytes.fromhex(sha256 + look)
            file = CheckedFile(str(json.loads(name)), int(size), int(time_ns), sha256, look)
        except (ValueError, RecursionError):
            continue
        if len(sha256) == _SHA256_DIGITS:
            files[file.path] = file
    return Memory(files, {file.sha256: file.look for file in files.values()})


def write_memory(path: Path, memory: Memory, checked: Iterable[CheckedFile]) -> None:
    """Write the memory with what was checked now, if there is anything new.

    Raises:
        OutputError: It cannot be written.
    """
    files = {**memory.files, **{file.path: file for file in checked}}
    if files != memory.files:
        lines = [files[name].line for name in sorted(files)]
        write_bytes(path, "\n".join(lines).encode())
