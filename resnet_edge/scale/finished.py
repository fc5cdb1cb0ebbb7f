"""Finished shards: a file each, and a list of them with their hashes.

A shard whose file is the one on the list is not computed again. So going on after an interruption,
doing again what a lost machine had, and taking more processes are one mechanism.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.errors import FREE_SPACE, OutputError, ResnetEdgeError
from resnet_edge.ondevice.files import hash_path, write_bytes
from resnet_edge.ondevice.json_records import from_json, to_json
from resnet_edge.ondevice.reading import refusing
from resnet_edge.scale.stage import Made, Stage

_LIST = "shards.jsonl"

_IN_A_FOLDER = 500
"""Shards of one folder: each time that one is written its folder is listed."""


@dataclass(frozen=True)
class FinishedShard:
    """A line of the list."""

    number: int
    bytes: int
    sha256: str
    maker: str
    """See ``Made``."""
    machine: str
    """The processor that computed it."""


def shard_path(folder: Path, number: int) -> Path:
    """Return the file of a shard."""
    return folder / f"{number // _IN_A_FOLDER:04d}" / f"{number:06d}.part"


def write_shard(folder: Path, number: int, made: Made, machine: str) -> FinishedShard:
    """Write the file of a shard, whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    path = shard_path(folder, number)
    # After a power failure the hash tells a damaged file, so none is forced to the disk.
    write_bytes(path, made.payload, durable=False)
    return FinishedShard(number, len(made.payload), hash_path(path), made.maker, machine)


class Finished:
    """The finished shards of a stage.

    Those that an interrupted run left are taken up where their files are as listed. What belongs to
    a stage of another key is removed.

    Raises:
        OutputError: The folder cannot be written.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._list = stage.folder / _LIST
        self.shards: dict[int, FinishedShard] = {}
        if _read_key(self._list) != stage.key:
            self.remove()
            self._append({"key": stage.key})
            return
        for line in self._list.read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
            found = _read(line)
            if found is not None and found.number < stage.shards and self._is_whole(found):
                self.shards[found.number] = found
        # A line that was cut off would swallow the next one.
        records = [{"key": stage.key}, *map(to_json, self.shards.values())]
        write_bytes(self._list, "".join(json.dumps(each) + "\n" for each in records).encode())

    def add(self, shard: FinishedShard) -> None:
        """Put a shard on the list.

        Raises:
            OutputError: The list cannot be written.
        """
        self._append(to_json(shard))
        self.shards[shard.number] = shard

    def files(self) -> Iterator[Path]:
        """Yield the files of all shards in order."""
        for number in range(self._stage.shards):
            yield shard_path(self._stage.folder, number)

    def remove(self) -> None:
        """Remove all of them, and the folder around them where it has no others."""
        shutil.rmtree(self._stage.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._stage.folder.parent.rmdir()

    def _is_whole(self, shard: FinishedShard) -> bool:
        path = shard_path(self._stage.folder, shard.number)
        try:
            return path.stat().st_size == shard.bytes and hash_path(path) == shard.sha256
        except OSError:
            return False

    def _append(self, record: object) -> None:
        try:
            self._list.parent.mkdir(parents=True, exist_ok=True)
            with self._list.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as problem:
            raise OutputError(
                f"{self._list}: cannot be written ({problem.strerror or problem}); {FREE_SPACE}"
            ) from problem


def _read_key(path: Path) -> object:
    try:
        with path.open(encoding="utf-8", errors="replace") as file, refusing(OutputError):
            data = json.loads(file.readline())
            return data.get("key") if isinstance(data, dict) else None
    except (OSError, OutputError):  # there is none yet, or it is damaged
        return None


def _read(line: str) -> FinishedShard | None:
    """Read a line; None for one that was cut off."""
    try:
        with refusing(OutputError):
            data = json.loads(line)
        return from_json(FinishedShard, data, _LIST, OutputError)
    except ResnetEdgeError:
        return None
