"""Zip files from strangers, unpacked safely: no path leaves its folder, sizes are bounded."""

from __future__ import annotations

import re
import shutil
import stat
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from resnet_edge.errors import FREE_SPACE, DataError, OutputError
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.locks import held, is_abandoned
from resnet_edge.ondevice.reading import refusing

MAX_ENTRIES = 500_000
"""Most files and folders in one archive."""

MAX_UNPACKED_BYTES = 64 << 30
"""Most bytes that an archive may unpack to."""

MAX_RATIO = 100
"""Most unpacked bytes per byte of the archive. Pictures are compressed already: their archives stay
near 1, a bomb of deflate reaches 1,032 and one of overlapping entries millions."""

RATIO_FREE_BYTES = 256 << 20
"""Below this an archive's ratio is not judged: flat drawings in BMP do compress well."""

OnEntry = Callable[[int, int], None]
"""Called with the number of entries done and the number of all."""

_OTHER_ARCHIVES = (
    (b"\x1f\x8b", "a gzip or tar.gz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
)
_TAR_AT = 257

_STALE_S = 24 * 3600.0
_LOCKED_WITHIN_S = 1.0
_REGULAR_TYPES = (0, stat.S_IFREG, stat.S_IFDIR)


def unpack_zip(archive: Path, unpack_to: Path, progress: OnEntry | None = None) -> Path:
    """Unpack an archive into a folder named by its content; reuse the folder where it is there.

    It is unpacked beside its place, then renamed: after a crash there is the whole folder or none.

    Args:
        archive: A zip file.
        unpack_to: Parent of the folder.
        progress: Called after each entry with done and total.

    Returns:
        ``unpack_to`` / the first 16 digits of the archive's SHA-256.

    Raises:
        DataError: It is no zip, is damaged, or its list of files is too long, too large or unsafe.
        OutputError: There is no room or no permission to unpack it.
    """
    try:
        if (other := _other_archive(archive)) is not None:
            raise DataError(
                f"{archive}: {other}; expected a folder, a zip or a CSV; unpack it and pass the "
                "folder"
            )
        digest = hash_path(archive)
    except OSError as problem:
        raise DataError(f"{archive}: cannot be read ({problem.strerror}); check it") from problem
    target = unpack_to / digest[:16]
    _remove_stale(target)
    if target.is_dir():
        return target

    def refusal(reason: str) -> DataError:
        return DataError(
            f"{archive}: not a zip file, or a damaged one ({reason}); "
            "expected a zip with a folder per class; make or copy it again"
        )

    with refusing(refusal), zipfile.ZipFile(archive) as opened:
        members = _checked_members(opened, archive)
        return _unpack_beside(opened, members, archive, target, progress)


def _other_archive(path: Path) -> str | None:
    """Return the kind of an archive that is no zip, or None."""
    with path.open("rb") as file:
        start = file.read(_TAR_AT + 5)
    if start[_TAR_AT:] == b"ustar":
        return "a tar archive"
    return next((words for magic, words in _OTHER_ARCHIVES if start.startswith(magic)), None)


def _checked_members(
    opened: zipfile.ZipFile, archive: Path
) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Judge the whole list before a single byte is unpacked."""
    infos = opened.infolist()
    if len(infos) > MAX_ENTRIES:
        raise DataError(
            f"{archive}: {len(infos):,} entries; expected at most {MAX_ENTRIES:,}; "
            "unpack it yourself and pass the folder"
        )
    total_bytes = sum(info.file_size for info in infos)
    if total_bytes > MAX_UNPACKED_BYTES:
        raise DataError(
            f"{archive}: unpacks to {total_bytes:,} bytes; expected at most "
            f"{MAX_UNPACKED_BYTES:,}; unpack it yourself and pass the folder"
        )
    ratio = total_bytes / max(1, archive.stat().st_size)
    if total_bytes > RATIO_FREE_BYTES and ratio > MAX_RATIO:
        raise DataError(
            f"{archive}: unpacks to {ratio:,.0f} times its size ({total_bytes:,} bytes), as a zip "
            f"bomb does; expected at most {MAX_RATIO} times; unpack it yourself and pass the folder"
        )
    members: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for info in infos:
        path = _safe_path(info, archive)
        if path in members and not info.is_dir():
            raise DataError(f"{archive}: {path} is in it twice; expected each once; make it again")
        if path.parts:
            members[path] = info
    return members


def _safe_path(info: zipfile.ZipInfo, archive: Path) -> PurePosixPath:
    name = info.filename.replace("\\", "/")  # some tools on Windows write backslashes
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        raise DataError(
            f"{archive}: entry {info.filename!r} points outside the archive; expected plain "
            "relative paths; do not trust this file, or make it again"
        )
    if stat.S_IFMT(info.external_attr >> 16) not in _REGULAR_TYPES:
        raise DataError(
            f"{archive}: entry {info.filename!r} is a symbolic link or a special file; expected "
            "files and folders only; make it again with the pictures themselves"
        )
    if info.flag_bits & 1:
        raise DataError(
            f"{archive}: entry {info.filename!r} is encrypted; expected a zip without a password"
        )
    return path


def _unpack_beside(
    opened: zipfile.ZipFile,
    members: dict[PurePosixPath, zipfile.ZipInfo],
    archive: Path,
    target: Path,
    progress: OnEntry | None,
) -> Path:
    total_bytes = sum(info.file_size for info in members.values())
    beside: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        free_bytes = shutil.disk_usage(target.parent).free
        if total_bytes > free_bytes:
            raise OutputError(
                f"{target.parent}: {free_bytes:,} bytes free; {archive} unpacks to "
                f"{total_bytes:,}; {FREE_SPACE}"
            )
        beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
        with held(beside):
            for number, (path, info) in enumerate(members.items(), start=1):
                _unpack_one(opened, info, beside / path, archive)
                if progress is not None:
                    progress(number, len(members))
        beside.chmod(0o755)
        if not target.is_dir():  # else another process was faster, with the same bytes
            beside.rename(target)
    except OSError as problem:
        raise OutputError(
            f"{target}: {archive} cannot be unpacked there ({problem.strerror}); {FREE_SPACE}"
        ) from problem
    finally:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)
    return target


def _unpack_one(
    opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, archive: Path
) -> None:
    if info.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)

    def refusal(reason: str) -> DataError:
        return DataError(
            f"{archive}: entry {info.filename!a} cannot be unpacked ({reason}); "
            "the file is damaged or uses a rare compression; make or copy it again"
        )

    # zipfile reads no more than the size that was declared, and checks the CRC at the end.
    with target.open("xb") as sink, refusing(refusal), opened.open(info) as source:
        shutil.copyfileobj(source, sink, 1 << 20)


def _remove_stale(target: Path) -> None:
    """Remove what killed processes left of the same archive, where that can be told."""
    for left in target.parent.glob(f".{target.name}-*"):
        age_s = time.time() - left.stat().st_mtime
        if age_s > _STALE_S or (age_s > _LOCKED_WITHIN_S and is_abandoned(left)):
            shutil.rmtree(left, ignore_errors=True)
