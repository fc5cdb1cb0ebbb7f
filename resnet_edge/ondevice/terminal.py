"""Output that no encoding of a terminal can end: a C locale, Latin-1, a name that is no UTF-8."""

from __future__ import annotations

import io
import json
import sys

from resnet_edge.ondevice.json_records import to_json

ESCAPED = "backslashreplace"
"""How characters are written that the terminal's encoding lacks: é as ``\\xe9``."""


def accept_any_text() -> None:
    """Let standard output and standard error write every text, with escapes where needed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPED)


def json_text(record: object, indent: int | None = None) -> str:
    """Return a record as JSON that standard output can write, and that stays JSON.

    Escapes of the terminal's would not be JSON, so there are JSON's own unless the output is UTF-8.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    plain = encoding.lower().replace("-", "").replace("_", "") == "utf8"
    text = json.dumps(to_json(record), indent=indent, ensure_ascii=False, allow_nan=False)
    if plain and not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    return json.dumps(to_json(record), indent=indent, allow_nan=False)
