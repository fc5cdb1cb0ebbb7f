"""Names of folders and files: their order, and the label that a folder's name stands for."""

from __future__ import annotations

import re
import unicodedata

LONGEST_PART = 255
"""Bytes of the longest name of a file or folder in any system."""


def natural_key(name: str) -> tuple[list[tuple[bool, int, str]], str]:
    """Return a sort key that puts 2 before 10, numbers before words, and ignores case."""
    parts = re.findall(r"([0-9]+)|([^0-9]+)", name.casefold())
    return [(not digits, int(digits or 0), word) for digits, word in parts], name


def label_of(name: str) -> str:
    """Return the label that a folder's name, or a cell of a table, stands for.

    Systems write the same letters as one code point (NFC: Windows, Linux) or as two (NFD: macOS,
    many archives). Here both are one label. Spaces around it do not count, because a labels file
    could not keep them.
    """
    return unicodedata.normalize("NFC", name).strip()


def suffix_of(name: str) -> str:
    """Return the ending of a file's name in lower case, ``.jpg``; as ``PurePath``, but fast."""
    stem, _, ending = name.rpartition("/")[2].rpartition(".")
    return f".{ending.lower()}" if ending and stem else ""


def is_utf8(name: str) -> bool:
    """Return False for a name that the system could not decode from UTF-8."""
    return not any("\ud800" <= c <= "\udfff" for c in name)


def shown(name: str) -> str:
    """Return a name for a message, with escapes for what no terminal prints."""
    text = name.encode(errors="backslashreplace").decode()
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
