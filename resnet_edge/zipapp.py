"""Writes a zipapp, an archive that Python starts: the same bytes from the same members.

The device bundle and the reference pack are such archives; both carry this package's own sources.
"""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

from resnet_edge.errors import UsageError
from resnet_edge.ondevice.files import write_file

Content: TypeAlias = bytes | Path
"""A member's content: bytes, or those of a file."""

SHEBANG = b"#!/usr/bin/env python3\n"

CUT_SHORT = b"# coding: latin-1\nerror: this bundle is cut short; copy it again "
"""The second line of the file, before the zip. A zip's directory stands at its end. If a copy is
cut short, Python takes the file for a script, and every version shows this line as a syntax error.
"""

START = SHEBANG + CUT_SHORT
"""What stands before the zip."""

MAIN_FILE = "__main__.py"
"""The member that Python starts."""

MAX_BYTES = 0xFFFFFFFF
"""Python's importer does not read larger archives (zip64)."""

ON_DEVICE = (
    "resnet_edge/__init__.py",
    "resnet_edge/errors.py",
    "resnet_edge/units.py",
    "resnet_edge/ondevice/**/*.py",
)
"""The sources that run on a device, as globs. They import nothing of the project but each other."""

_HOME = Path(__file__).resolve().parent.parent

_DATE = (1980, 1, 1, 0, 0, 0)
"""The zip format's oldest: the time of writing would change the bytes."""


def find_sources(patterns: Sequence[str]) -> dict[str, Path]:
    """Find source files of this project.

    Args:
        patterns: Globs from the folder that holds the packages, for instance ``ON_DEVICE``.

    Returns:
        The files by their path in an archive, for instance ``resnet_edge/errors.py``, sorted.
    """
    found = {path for pattern in patterns for path in _HOME.glob(pattern)}
    return {path.relative_to(_HOME).as_posix(): path for path in sorted(found)}


def write_archive(path: Path, contents: Mapping[str, Content]) -> None:
    """Write all of it or nothing.

    Python's source files are deflated, but for the first one; everything else is stored.

    Args:
        path: The file; it may be executed.
        contents: Members by name, in their order.

    Raises:
        UsageError: It would be larger than Python can start.
        OutputError: It cannot be written.
    """
    total = sum(_size(content) for content in contents.values())
    if total > MAX_BYTES - (1 << 20):
        raise UsageError(
            f"{path}: {total / 1e9:.1f} GB together; expected less than 4.2 GB, which is what "
            "Python can start; choose fewer artifacts (--formats) or pictures"
        )

    def write(file: BinaryIO) -> None:
        file.write(START)
        write_members(file, contents)

    write_file(path, write, rights=0o777)


def _size(content: Content) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def write_members(file: BinaryIO, contents: Mapping[str, Content]) -> None:
    """Write the zip alone; see ``write_archive``. Its offsets count from the file's beginning."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in contents.items():
            member = zipfile.ZipInfo(name, _DATE)
            member.create_system = 3  # Unix, also where it is written on another system
            member.external_attr = 0o644 << 16
            member.file_size = _size(content)
            # Of a damaged deflate stream Python could not show a line.
            deflated = name.endswith(".py") and name != MAIN_FILE
            member.compress_type = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
            source = content.open("rb") if isinstance(content, Path) else io.BytesIO(content)
            with source, archive.open(member, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)
