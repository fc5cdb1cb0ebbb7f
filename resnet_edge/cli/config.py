"""The command line's options in a file, ``resnet-edge.toml``, by the same names."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path

from resnet_edge.errors import UsageError
from resnet_edge.ondevice.reading import refusing
from resnet_edge.ondevice.text_files import read_text

DEFAULT_NAME = "resnet-edge.toml"

_LARGEST = 1 << 63
"""TOML's whole numbers have 64 bits."""

Value = str | int | float | bool

_ACCEPTED: Mapping[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str, int, float, list), "a string, a number or a list"),
}
"""The types of TOML that an option of each type accepts, and their words; others take a string."""


def find_config(path: Path | None) -> Path | None:
    """Return the file that was asked for, else ``resnet-edge.toml`` where there is one.

    Raises:
        UsageError: The file that was asked for does not exist.
    """
    if path is None:
        default = Path(DEFAULT_NAME)
        return default if default.is_file() else None
    if not path.is_file():
        raise UsageError(f"--config: no such file: {path}; expected a TOML file of options")
    return path


def read_config(path: Path, known: Mapping[str, type]) -> dict[str, Value]:
    """Read options from a TOML file.

    Args:
        path: The file: flat ``name = value`` lines; ``image-size`` and ``image_size`` are the same.
        known: Type of every option by its name with underscores.

    Returns:
        Values by name with underscores; lists are joined by commas, as on the command line.
        Relative paths stay as they are and count from where the command runs.

    Raises:
        UsageError: The file is not TOML, has tables, an unknown key or a value of another type.
    """
    with refusing(lambda reason: UsageError(f"{path}: not TOML: {reason}")):
        data = tomllib.loads(read_text(path))
    values: dict[str, Value] = {}
    for key, value in data.items():
        name = key.replace("-", "_")
        if name not in known:
            raise UsageError(f"{path}: unknown key {key!r}; {_suggest(key, known)}")
        accepted, words = _ACCEPTED.get(known[name], ((str,), "a string"))
        if type(value) not in accepted or not _is_plain(value):
            raise UsageError(f"{path}: {key} = {_shown(value)}; expected {words}")
        listed = isinstance(value, list)
        values[name] = ",".join(str(item) for item in value) if listed else value
    return values


def _is_plain(value: object) -> bool:
    """Return False for what TOML may hold and no option can: a zero byte, 500 digits."""
    match value:
        case list():
            return all(type(item) is not list and _is_plain(item) for item in value)
        case str():
            return "\0" not in value
        case int():
            return -_LARGEST <= value < _LARGEST
        case _:
            return True


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:
        return "a number of more than 4,300 digits"  # Python prints no such
    return text if len(text) <= 80 else f"{text[:80]}…"


def _suggest(key: str, known: Mapping[str, type]) -> str:
    names = sorted(name.replace("_", "-") for name in known)
    close = difflib.get_close_matches(key.replace("_", "-"), names, 1)
    return f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(names)}"
