"""Files and objects of stores, read through fsspec, and parts of files on this machine.

Credentials are found by the store's own means: environment variables, files, a machine's role.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from resnet_edge.data.address import Address, Source
from resnet_edge.errors import DataError, ResnetEdgeError, RuntimeMissingError, first_line

BLOCK_BYTES = 4 << 20
"""Bytes that are fetched at once where a file in a store is read from its start to its end."""

_PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("http", "https"), "aiohttp"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "adlfs"),
    **dict.fromkeys(("hdfs", "arrow_hdfs"), "pyarrow"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
    "hf": "huggingface_hub",
}
"""Packages that fsspec needs for an address, by its start."""

_VERSION_KEYS = (
    *("ETag", "etag", "generation", "md5Hash", "content_md5", "xet_hash", "blob_id"),
    *("LastModified", "last_modified", "updated", "mtime", "created", "modified"),
)
"""Names that stores give to an object's version, or to the time of its last change."""

_NUMBER_BYTES = 7
"""Bytes of a version's hash that are kept: they fit in 64 bits with a sign."""

_MEANS = (
    "check the address, and the credentials, which are found by the store's own means "
    "(environment, files, the machine's role)"
)


_SETTLED_NS = 2 * 10**9
"""A file that was written less than two seconds ago may change again at the same time stamp."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells a version of a file from the next one, without reading it."""

    size: int
    """Bytes."""
    time_ns: int
    """Time of its last change, or a number that a store's own version of it gives."""
    settled: bool = True
    """False where it may change once more and keep this stamp."""


def stamp_of(path: Path | str) -> Stamp | None:
    """Return the stamp of a file on this machine; None where it is gone."""
    try:
        found = os.stat(path)  # noqa: PTH116 - of a million texts none becomes a Path
    except OSError:
        return None
    settled = found.st_mtime_ns <= time.time_ns() - _SETTLED_NS
    return Stamp(found.st_size, found.st_mtime_ns, settled)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in a store."""

    name: str
    """Relative to the folder that was listed, with forward slashes."""
    size: int
    version: Stamp | None
    """None where the store tells no version."""


def _filesystem(address: Address) -> tuple[Any, str]:
    """Return fsspec's file system for an address, and the address as that one takes it.

    fsspec keeps one for every thread, and makes another after a fork.
    """
    try:
        import fsspec
    except ImportError as problem:
        raise _missing(address, "fsspec") from problem
    package = _PACKAGES.get(address.scheme, "")
    try:
        files, path = fsspec.core.url_to_fs(address.url)
        return files, str(path)
    except ImportError as problem:
        raise _missing(address, package or first_line(problem)) from problem
    except ValueError as problem:
        if "rotocol" not in str(problem):
            raise
        raise DataError(
            f"{address}: addresses that begin with {address.scheme}:// are not known; expected for "
            "instance s3://, gs:// or https://; check the address"
        ) from problem


def _missing(address: Address, package: str) -> RuntimeMissingError:
    return RuntimeMissingError(
        f"{address}: {package}, which reads such addresses, is not installed; run `pip install "
        f"{package}`",
        package,
    )


@contextlib.contextmanager
def asking(address: Address) -> Iterator[None]:
    """Turn every error of a store into one of ours, without what an address may hide.

    A FileNotFoundError passes: only the caller knows what is gone.
    """
    try:
        yield
    except (ResnetEdgeError, FileNotFoundError, MemoryError):
        raise
    except Exception as problem:  # each store has errors of its own
        reason = re.sub(r"\?[^\s'\")]+", "?…", first_line(problem)).partition(", url=")[0]
        refused = (
            isinstance(problem, PermissionError)
            or "Credential" in type(problem).__name__
            or getattr(problem, "status", 0) in (401, 403)
        )
        if refused:
            raise DataError(f"{address}: access refused ({reason}); {_MEANS}") from problem
        raise DataError(
            f"{address}: cannot be read ({reason}); check the address and the network, then run "
            "again"
        ) from problem


def _is_of_store(problem: Exception) -> bool:
    package = type(problem).__module__.partition(".")[0]
    return package in ("aiohttp", "aiobotocore", "botocore", "gcsfs", "google", "fsspec", "s3fs")


def read_object(address: Address) -> bytes:
    """Read an object whole.

    Raises:
        FileNotFoundError: It is not there.
        DataError: Access is refused, or the store cannot be reached.
        RuntimeMissingError: The package for this store is not installed.
    """
    with asking(address):
        files, path = _filesystem(address)
        data: bytes = files.cat_file(path)
        return data


def read_range(source: Source, offset: int, size: int) -> bytes:
    """Read a part of a file.

    Args:
        source: The file.
        offset: Its first byte.
        size: Number of bytes, at least 0.

    Raises:
        OSError: A file on this machine cannot be read; FileNotFoundError also of an object.
        ValueError: The file is shorter, or the store gives no parts of files.
        DataError: Access is refused, or the store cannot be reached.
    """
    if isinstance(source, Address):
        with asking(source):
            files, path = _filesystem(source)
            data: bytes = files.cat_file(path, start=offset, end=offset + size) if size else b""
    else:
        with source.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
    if len(data) != size:
        raise ValueError(
            f"{len(data):,} bytes at byte {offset:,}; expected {size:,}: the file is cut off, or "
            "its store gives no parts of files"
        )
    return data


def read_file(source: Source) -> bytes:
    """Read a small file whole, here or in a store.

    Raises:
        OSError: It cannot be read; FileNotFoundError also of an object.
        DataError: Access is refused, or the store cannot be reached.
    """
    return read_object(source) if isinstance(source, Address) else source.read_bytes()


@contextlib.contextmanager
def opened(source: Source, block_bytes: int = BLOCK_BYTES) -> Iterator[BinaryIO]:
    """Open a file to read it in order, with the right to pass over parts.

    Args:
        source: The file.
        block_bytes: Bytes that are fetched at once from a store.

    Raises:
        OSError: It cannot be read; FileNotFoundError also of an object.
        DataError: Access is refused, or the store cannot be reached.
    """
    if not isinstance(source, Address):
        with source.open("rb") as file:
            yield file
        return
    with asking(source):
        files, path = _filesystem(source)
        file = files.open(path, "rb", block_size=block_bytes, cache_type="readahead")
    with file:
        try:
            yield file
        except Exception as problem:
            if not isinstance(problem, OSError) and not _is_of_store(problem):
                raise  # of who parses the file
            with asking(source):
                raise


def describe(address: Address) -> StoredFile | None:
    """Ask a store for one file.

    Returns:
        Its size and version; None for a folder.

    Raises:
        FileNotFoundError: There is neither.
        DataError: Access is refused, or the store cannot be reached.
    """
    with asking(address):
        files, path = _filesystem(address)
        info = files.info(path)
        if info.get("type") == "directory":
            return None
        return _stored(address.name, info)


def exists(source: Source) -> bool:
    """Return True if there is such a file, here or in a store.

    Raises:
        DataError: Access is refused, or the store cannot be reached.
    """
    if not isinstance(source, Address):
        return source.is_file()
    try:
        return describe(source) is not None
    except FileNotFoundError:
        return False


def list_files(address: Address) -> tuple[StoredFile, ...]:
    """List all files below a folder of a store.

    Raises:
        DataError: Access is refused, or the store cannot be reached.
    """
    with asking(address):
        files, path = _filesystem(address)
        files.invalidate_cache()  # of an earlier listing in this process
        found: Mapping[str, Mapping[str, Any]] = files.find(path, detail=True)
        start = f"{path.rstrip('/')}/"
        return tuple(
            _stored(name.removeprefix(start), info)
            for name, info in found.items()
            if name.startswith(start) and name != start and not name.endswith("/")
        )


def match_files(address: Address) -> tuple[Address, ...]:
    """Return the files whose addresses fit a pattern with ``*``, ``?`` or ``[…]``.

    Raises:
        DataError: Access is refused, or the store cannot be reached.
    """
    with asking(address):
        files, path = _filesystem(address)
        files.invalidate_cache()
        return tuple(Address(files.unstrip_protocol(name)) for name in files.glob(path))


def _stored(name: str, info: Mapping[str, Any]) -> StoredFile:
    size = int(info.get("size") or 0)
    told = [f"{key}={info[key]}" for key in _VERSION_KEYS if info.get(key) is not None]
    if not told:
        return StoredFile(name, size, None)
    number = int.from_bytes(hashlib.sha256("|".join(told).encode()).digest()[:_NUMBER_BYTES])
    return StoredFile(name, size, Stamp(size, number))
