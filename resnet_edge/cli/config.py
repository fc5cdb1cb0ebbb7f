"""``resnet-edge.toml``: the command line's options by the same names, in a file."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path

from resnet_edge.errors import UsageError

DEFAULT_NAME = "resnet-edge.toml"

Value = str | int | float | bool


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


def read_config(path: Path, known: frozenset[str]) -> dict[str, Value]:
    """Read options from a TOML file.

    Args:
        path: The file: flat ``name = value`` lines; ``image-size`` and ``image_size`` are the same.
        known: Names of all options, with underscores.

    Returns:
        Values by name with underscores; lists are joined by commas, as on the command line.
        Relative paths stay as they are and count from where the command runs.

    Raises:
        UsageError: The file is not TOML, has tables, or an unknown key.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise UsageError(f"{path}: not TOML: {problem}") from problem
    values: dict[str, Value] = {}
    for key, value in data.items():
        name = key.replace("-", "_")
        if name not in known:
            raise UsageError(f"{path}: unknown key {key!r}; {_suggest(key, known)}")
        if isinstance(value, list):
            value = ",".join(str(item) for item in value)
        if not isinstance(value, str | int | float | bool):
            raise UsageError(
                f"{path}: {key} is a {type(value).__name__}; expected a string, number, "
                "true/false or list"
            )
        values[name] = value
    return values


def _suggest(key: str, known: frozenset[str]) -> str:
    names = sorted(name.replace("_", "-") for name in known)
    close = difflib.get_close_matches(key.replace("_", "-"), names, 1)
    return f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(names)}"
