"""The memory of checked pictures: hashes, so that later runs neither decode nor read them again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.data.places import Place, place_key
from resnet_edge.ondevice.files import write_bytes

_UNSETTLED = -1
_SHA256_DIGITS = 64


@dataclass(frozen=True)
class CheckedFile:
    """A picture that was found to be whole."""

    path: str
    """The place's text."""
    size: int
    """Bytes; -1 where it was too fresh to be known again by its time, or nothing tells its version.
    """
    time_ns: int
    """Time of its last change, or the number of a store's version of it."""
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
    """By the text of the place."""
    looks: Mapping[str, str]
    """Perceptual hashes by sha256 of the content."""

    def find(self, place: Place) -> CheckedFile | None:
        """Return what is known of a picture that was not changed since; None asks to read it."""
        known = self.files.get(place_key(place))
        stamp = None if known is None else place.stamp()
        if known is None or stamp is None:
            return None
        return known if (known.size, known.time_ns) == (stamp.size, stamp.time_ns) else None


def describe_file(place: Place, sha256: str, look: str) -> CheckedFile:
    """Describe a picture that was just read."""
    stamp = place.stamp()
    if stamp is None:  # gone already, or of a store that tells no version
        return CheckedFile(place_key(place), _UNSETTLED, 0, sha256, look)
    size = stamp.size if stamp.settled else _UNSETTLED
    return CheckedFile(place_key(place), size, stamp.time_ns, sha256, look)


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
