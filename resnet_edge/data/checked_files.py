"""The memory of checked pictures: hashes, so that later runs neither decode nor read them again."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from resnet_edge.data.pictures import HASH_BYTES, hash_bytes
from resnet_edge.data.stores import Stamp
from resnet_edge.data.texts import GrowingTexts, TextColumn
from resnet_edge.ondevice.files import write_file

_UNSETTLED = -1
_LINES_AT_ONCE = 1 << 14


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A picture that was found to be whole."""

    size: int
    """Bytes; -1 where it was too fresh to be known again by its time, or nothing tells its version.
    """
    time_ns: int
    """Time of its last change, or the number of a store's version of it."""
    sha256: str
    look: str
    """Its perceptual hash, hexadecimal; empty for a picture of one colour."""

    def line(self, key: str) -> str:
        """Return the line in the memory of the picture whose place has this text."""
        return "\t".join(
            (self.sha256, self.look, str(self.size), str(self.time_ns), json.dumps(key))
        )


@dataclass(frozen=True, eq=False, slots=True)
class CheckedFiles:
    """Many pictures that were found to be whole, in columns."""

    sizes: npt.NDArray[np.int64]
    times_ns: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint8]
    """Their SHA-256, ``(n, 32)``; zeros where there is a defect."""
    looks: TextColumn

    def __len__(self) -> int:
        return len(self.sizes)

    def at(self, row: int) -> CheckedFile:
        """Return one of them."""
        sha256 = self.hashes[row].tobytes().hex()
        return CheckedFile(
            int(self.sizes[row]), int(self.times_ns[row]), sha256, self.looks.at(row)
        )


class GrowingFiles:
    """Takes checked pictures one after another."""

    def __init__(self) -> None:
        self._sizes, self._times_ns = array("q"), array("q")
        self._hashes, self._looks = bytearray(), GrowingTexts()

    def __len__(self) -> int:
        return len(self._sizes)

    def append(self, file: CheckedFile) -> None:
        """Take a picture.

        Raises:
            ValueError: Its hash is none.
            OverflowError: Its size or time is not within 64 bits.
        """
        data = hash_bytes(file.sha256)
        self._append(array("q", [file.size, file.time_ns]), data, file.look)

    def append_defect(self) -> None:
        """Take a file that is no sound picture, so that the rows stay those of the candidates."""
        self._append(array("q", [_UNSETTLED, 0]), bytes(HASH_BYTES), "")

    def _append(self, stamp: array[int], hashed: bytes, look: str) -> None:
        self._sizes.append(stamp[0])
        self._times_ns.append(stamp[1])
        self._hashes += hashed
        self._looks.append(look)

    def done(self) -> CheckedFiles:
        """Return all of them."""
        return CheckedFiles(
            np.array(self._sizes, np.int64),
            np.array(self._times_ns, np.int64),
            np.frombuffer(bytes(self._hashes), np.uint8).reshape(-1, HASH_BYTES),
            self._looks.column(),
        )


class KnownLooks(Protocol):
    """Perceptual hashes by the hash of content that is known to be sound."""

    def get(self, sha256: str, /) -> str | None:
        """Return that of this content; None where it is not known."""


class Memory:
    """All pictures that were checked before, by the text of their place."""

    def __init__(self, keys: TextColumn, files: CheckedFiles) -> None:
        """Sort what is to be found.

        Args:
            keys: Texts of places; of two that are equal the last one counts.
            files: What is known of each.
        """
        self.keys = keys
        self.files = files
        # Hashes of this process: 8 bytes of a key instead of an entry of 100 in a dict.
        marks = np.fromiter(map(hash, keys), np.int64, len(keys))
        self._by_key = np.argsort(marks, kind="stable")
        self._marks = marks[self._by_key]
        heads = np.ascontiguousarray(files.hashes).view(">u8")[:, 0].astype(np.uint64)
        self._by_hash = np.argsort(heads, kind="stable")
        self._heads = heads[self._by_hash]

    def __len__(self) -> int:
        return len(self.keys)

    def row(self, key: str) -> int | None:
        """Return the row of a place's text; None where it is not known."""
        mark = hash(key)
        at = int(np.searchsorted(self._marks, mark, "right")) - 1
        while at >= 0 and self._marks[at] == mark:
            row = int(self._by_key[at])
            if self.keys.at(row) == key:
                return row
            at -= 1
        return None

    def is_current(self, row: int, now: Stamp | None) -> bool:
        """Return True if a picture has the stamp that it had when it was read."""
        known = self.files.sizes[row], self.files.times_ns[row]
        return now is not None and known == (now.size, now.time_ns)

    def get(self, sha256: str) -> str | None:
        """Return the perceptual hash of content; see ``KnownLooks``."""
        head = np.uint64(int(sha256[:16], 16))
        at = int(np.searchsorted(self._heads, head, "right")) - 1
        while at >= 0 and self._heads[at] == head:
            file = self.files.at(int(self._by_hash[at]))
            if file.sha256 == sha256:
                return file.look
            at -= 1
        return None


def describe_file(stamp: Stamp | None, sha256: str, look: str) -> CheckedFile:
    """Describe a picture that was just read.

    Args:
        stamp: What tells its version; None where it is gone already, or of a store that tells none.
        sha256: Hash of its bytes.
        look: Its perceptual hash.
    """
    if stamp is None:
        return CheckedFile(_UNSETTLED, 0, sha256, look)
    return CheckedFile(stamp.size if stamp.settled else _UNSETTLED, stamp.time_ns, sha256, look)


def read_memory(path: Path) -> Memory:
    """Read the memory; what is damaged in it counts as not known."""
    keys, files = GrowingTexts(), GrowingFiles()
    for line in _lines(path):
        try:
            sha256, look, size, time_ns, name = line.split("\t")
            bytes.fromhex(look)
            key = str(json.loads(name))
            files.append(CheckedFile(int(size), int(time_ns), sha256, look))
        except (ValueError, OverflowError, RecursionError):
            continue
        keys.append(key)
    return Memory(keys.column(), files.done())


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from (line.rstrip("\n") for line in file)
    except OSError:
        return


def write_memory(
    path: Path, memory: Memory, files: CheckedFiles, keys: Callable[[], Iterator[tuple[int, str]]]
) -> None:
    """Write the memory with what was checked now, if there is anything new.

    Args:
        path: The file.
        memory: What was known before.
        files: What was checked now, or is known still.
        keys: Yields the row of each sound picture among ``files`` with the text of its place.

    Raises:
        OutputError: It cannot be written.
    """

    def is_known(row: int, key: str) -> bool:
        old = memory.row(key)
        return old is not None and memory.files.at(old) == files.at(row)

    if all(is_known(row, key) for row, key in keys()):
        return
    texts: dict[str, int] = {key: -row - 1 for row, key in enumerate(memory.keys)}
    texts.update((key, row) for row, key in keys())
    ordered = sorted(texts)

    def write(file: BinaryIO) -> None:
        for start in range(0, len(ordered), _LINES_AT_ONCE):
            lines = []
            for key in ordered[start : start + _LINES_AT_ONCE]:
                row = texts[key]
                found = memory.files.at(-row - 1) if row < 0 else files.at(row)
                lines.append(found.line(key))
            file.write(("\n" if start else "").encode() + "\n".join(lines).encode())

    write_file(path, write)
