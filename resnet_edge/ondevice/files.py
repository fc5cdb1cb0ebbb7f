"""Files on disk: written whole or not at all, hashed and sized."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Union

from resnet_edge.errors import FREE_SPACE, OutputError
from resnet_edge.ondevice.locks import is_abandoned, try_lock

StrPath = Union[str, "os.PathLike[str]"]
"""A path as a Python caller may give it."""

_STALE_S = 24 * 3600.0
_LOCKED_WITHIN_S = 1.0


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file whole or not at all; see ``write_file``.

    Raises:
        OutputError: The folder is not writable or the disk is full.
    """

    def write(file: BinaryIO) -> None:
        file.write(data)

    write_file(path, write, durable=durable)


def write_file(
    path: Path,
    write: Callable[[BinaryIO], None],
    rights: int = 0o666,
    *,
    durable: bool = True,
) -> None:
    """Write a file beside its place, then rename it: a crash leaves the old file or the new.

    Args:
        path: The file; its folder is made where it is missing.
        write: Writes the content to an empty file.
        rights: The file's permissions, before the umask.
        durable: False for a file that can be made again. It is not forced to the disk, so a power
            failure may damage it, and its reader has to notice.

    Raises:
        OutputError: The folder is not writable or the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_parts(path, _STALE_S)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            try_lock(handle)  # so that nobody takes it for one that a killed process left
            write(file)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(rights & ~mask)
        temporary.replace(path)
    except BaseException as problem:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if isinstance(problem, OSError):
            raise OutputError(
                f"{path}: cannot be written ({problem.strerror or problem}); {FREE_SPACE}"
            ) from problem
        raise


def remove_parts(path: Path, age_s: float = 0.0) -> None:
    """Remove the parts of a file that killed processes left beside it.

    Args:
        path: The file.
        age_s: Younger parts stay where it cannot be told that no process writes them.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(FileNotFoundError):
            age = time.time() - left.stat().st_mtime
            if age >= age_s or (age >= _LOCKED_WITHIN_S and is_abandoned(left)):
                left.unlink()


def hash_path(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's files with their names, in hexadecimal."""
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
            digest.update(bytes.fromhex(hash_path(file)))
        return digest.hexdigest()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def digest(*parts: object) -> str:
    """Return the SHA-256 of the parts' representations, in hexadecimal."""
    return hashlib.sha256("\0".join(repr(part) for part in parts).encode()).hexdigest()


def size_path(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    return path.stat().st_size
