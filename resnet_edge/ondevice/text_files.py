"""Text files as people's programs write them."""

from __future__ import annotations

import codecs
from pathlib import Path

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> str:
    """Read a text file: UTF-8, or what its byte order mark says.

    Windows' Notepad puts a mark in front of UTF-8; its PowerShell writes UTF-16.

    Raises:
        OSError: The file cannot be read.
        UnicodeDecodeError: It is in another encoding.
    """
    return decode_text(path.read_bytes())


def decode_text(data: bytes) -> str:
    """Decode a text file's content: UTF-8, or what its byte order mark says.

    Raises:
        UnicodeDecodeError: It is in another encoding.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding)
    return data.decode("utf-8")
