"""The one boundary around everything that parses a file, and JSON and zips with limits.

A damaged file leads parsers to errors of any kind: a RecursionError of a nested list, a MemoryError
of a size in a header. The caller says once what the file should have been; ``refusing`` turns every
error of the parsing into that. Standard library only: a device reads its bundle with it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Callable

from resnet_edge.errors import ResnetEdgeError, first_line

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a full disk, which is no fault of the file that is read."""

MAX_MEMBER_BYTES = 64 << 20
"""Most bytes that a description in a zip may unpack to; ResNet50's has 0.2 MB."""

_TOO_LARGE = 1 << 63
"""NumPy has no larger whole numbers with a sign."""

_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@contextlib.contextmanager
def refusing(refusal: Callable[[str], ResnetEdgeError]) -> Iterator[None]:
    """Turn every error of parsing a file into one error.

    Errors of resnet-edge pass, as do a full disk, Ctrl-C, and a package that is not installed.

    Args:
        refusal: Returns the error for a reason, a few words without a full stop.
    """
    try:
        yield
    except (ResnetEdgeError, ImportError):
        raise
    except Exception as problem:  # parsers raise whatever damage leads them to
        if isinstance(problem, OSError) and problem.errno in NO_ROOM:
            raise
        raise refusal(reason_of(problem)) from problem


def reason_of(problem: Exception) -> str:
    """Return an error of a parser in words."""
    if isinstance(problem, RecursionError):
        return "it is nested too deeply"
    if isinstance(problem, MemoryError):
        return "it claims more memory than there is"
    if isinstance(problem, KeyError):
        return f"it has no {problem}"
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    return first_line(problem)


def parse_json(text: str | bytes) -> object:
    """Parse JSON that other programs can read as well (RFC 7493).

    Args:
        text: JSON; bytes are UTF-8.

    Raises:
        ValueError: It is not JSON, is nested too deeply, or has NaN, an infinite number, a whole
            number that does not fit in 64 bits with a sign, or half of a surrogate pair.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        data: object = json.loads(text, parse_int=_whole_number, parse_constant=_refuse_constant)
    except RecursionError as problem:
        raise ValueError(reason_of(problem)) from problem
    if _ESCAPED_SURROGATE.search(text) is not None:
        _check_text(data)
    return data


def _whole_number(digits: str) -> int:
    # A number that is not so long is cheap to parse; Python refuses to parse 4,300 digits.
    if len(digits) > 20 or not -_TOO_LARGE <= (value := int(digits)) < _TOO_LARGE:
        raise ValueError(f"the number {digits[:24]} does not fit in 64 bits")
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no number of JSON")


def _check_text(data: object) -> None:
    """Refuse texts with half of a surrogate pair: no file can be written with them."""
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value)
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, str):
            check_unicode(value)


def check_unicode(text: str) -> None:
    """Refuse a text that cannot be written as UTF-8.

    Raises:
        ValueError: It has half of a surrogate pair.
    """
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        raise ValueError(f"{text[:40]!a} is no Unicode text") from problem


def read_member(archive: zipfile.ZipFile, name: str, limit: int = MAX_MEMBER_BYTES) -> bytes:
    """Read a member of a zip whole; call it within ``refusing``.

    Args:
        archive: The zip.
        name: The member.
        limit: Most bytes that it may unpack to.

    Raises:
        KeyError: There is no such member.
        ValueError: It claims more bytes.
    """
    claimed = archive.getinfo(name).file_size  # no more than that is unpacked
    if claimed > limit:
        raise ValueError(f"{name} unpacks to more than {limit:,} bytes: {claimed:,}")
    return archive.read(name)


def read_json_member(archive: zipfile.ZipFile, name: str, limit: int = MAX_MEMBER_BYTES) -> object:
    """Read a member of a zip as JSON; see ``read_member`` and ``parse_json``."""
    return parse_json(read_member(archive, name, limit))
