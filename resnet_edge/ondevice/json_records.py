"""Frozen dataclasses to JSON files and back, checked on the way in.

The dataclass is the schema: a key that is missing, unknown or of another type is an error that
names the file and the key.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import json
import math
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from resnet_edge.errors import OutputError, ResnetEdgeError, UsageError
from resnet_edge.ondevice.files import write_bytes
from resnet_edge.ondevice.reading import parse_json, refusing

T = TypeVar("T")


UNIONS = (typing.Union, getattr(types, "UnionType", typing.Union))
"""The two types of ``X | None``; Python before 3.10 has only the first."""


def to_json(record: object) -> Any:  # noqa: ANN401 - JSON is any
    """Turn a dataclass, and all it holds, into JSON's types.

    Infinite and NaN floats become the strings ``"inf"``, ``"-inf"`` and ``"nan"``, because JSON
    has no such numbers.
    """
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: to_json(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, enum.Enum):
        return record.value
    if isinstance(record, Path):
        return record.as_posix()
    if isinstance(record, Mapping):
        return {str(key): to_json(value) for key, value in record.items()}
    if isinstance(record, (list, tuple)):
        return [to_json(item) for item in record]
    if isinstance(record, float) and not math.isfinite(record):
        return str(record)
    return record


def from_json(kind: type[T], data: object, where: str, error: type[ResnetEdgeError]) -> T:
    """Build ``kind`` from JSON's types.

    Args:
        kind: A dataclass whose fields are str, int, float, bool, Path, enums, tuples, dicts with
            str keys, optional values, or dataclasses of these.
        data: The result of ``json.load``.
        where: Named in errors: a file and, further in, the key.
        error: The error to raise.

    Returns:
        An instance of ``kind``.
    """
    if not isinstance(data, dict):
        raise error(f"{where}: got {type(data).__name__}; expected an object with named values")
    hints = read_annotations(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if "schema" in fields:
        _check_schema(data, fields["schema"].default, where, error)
    if unknown := sorted(set(data) - set(fields)):
        raise error(f"{where}: unknown key {unknown[0]!r}; it was written by another version")
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _decode(hints[name], data[name], f"{where}: {name}", error)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise error(f"{where}: key {name!r} is missing; make the file again")
    try:
        with refusing(lambda reason: error(f"{where}: {reason}")):  # by the record's own checks
            return kind(**values)
    except UsageError as problem:
        raise error(f"{where}: {problem}") from problem


def _check_schema(
    data: Mapping[str, object], reads: object, where: str, error: type[ResnetEdgeError]
) -> None:
    """Refuse another version by its number; the first key that differs would not explain it."""
    version = data.get("schema", reads)
    if version == reads or not (isinstance(version, int) and isinstance(reads, int)):
        return
    numbers = f"(schema {version}; this one reads {reads})"
    if version > reads:
        raise error(f"{where}: written by a newer resnet-edge {numbers}; update resnet-edge")
    raise error(f"{where}: written by an older resnet-edge {numbers}; make the file again")


def _decode(hint: Any, value: object, where: str, error: type[ResnetEdgeError]) -> Any:  # noqa: ANN401
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in UNIONS:
        if value is None and type(None) in arguments:
            return None
        return _decode(next(a for a in arguments if a is not type(None)), value, where, error)
    if origin is tuple and isinstance(value, list):
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) == len(value):
            items = enumerate(zip(kinds, value))
            return tuple(_decode(k, v, f"{where}[{i}]", error) for i, (k, v) in items)
    if origin is dict and isinstance(value, dict):
        return {k: _decode(arguments[1], v, f"{where}.{k}", error) for k, v in value.items()}
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast(type, hint), value, where, error)
    return _decode_plain(hint, value, where, error)


def _decode_plain(hint: Any, value: object, where: str, error: type[ResnetEdgeError]) -> Any:  # noqa: ANN401
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        try:
            return hint(value)
        except ValueError:
            allowed = ", ".join(str(member.value) for member in hint)
            raise error(f"{where}: got {value!r}; expected one of {allowed}") from None
    fits = isinstance(hint, type) and isinstance(value, bool) == (hint is bool)
    if fits and hint is float and (isinstance(value, int) or value in ("inf", "-inf", "nan")):
        return float(typing.cast(str, value))
    if hint is Path and isinstance(value, str) and "\0" not in value:
        return Path(value)
    # JSON has no infinite number, but one of 400 digits is read as such.
    if fits and isinstance(value, hint) and value not in (math.inf, -math.inf):
        return value
    expected = getattr(hint, "__name__", str(hint))
    raise error(f"{where}: got {value!r}; expected {expected}")


def read_annotations(kind: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields by name, also in a Python older than their spelling.

    The one place that knows of old Pythons: 3.8 cannot evaluate ``tuple[int, ...]``, 3.9 not
    ``float | None``.
    """
    if hasattr(types, "UnionType"):
        return typing.get_type_hints(kind)
    return read_old_annotations(kind)


def read_old_annotations(kind: type) -> dict[str, Any]:
    """Do as ``typing.get_type_hints`` does, with ``typing``'s spelling of unions and containers."""
    found = {}
    for home in reversed(kind.__mro__):
        names = {
            **vars(sys.modules[home.__module__]),
            **{"tuple": typing.Tuple, "dict": typing.Dict, "Union": typing.Union},
        }
        for name, words in vars(home).get("__annotations__", {}).items():
            tree = ast.fix_missing_locations(_Unions().visit(ast.parse(words, mode="eval")))
            found[name] = eval(compile(tree, f"<{name}>", "eval"), names)
    return found


class _Unions(ast.NodeTransformer):
    """Turns ``X | Y`` into ``Union[X, Y]``."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        union = ast.parse("Union[0, 0]", mode="eval").body
        pair = next(part for part in ast.walk(union) if isinstance(part, ast.Tuple))
        pair.elts = [self.visit(node.left), self.visit(node.right)]
        return union


def write_record(path: Path, record: object) -> None:
    """Write a dataclass as a JSON file: all of it or nothing.

    Raises:
        OutputError: The file cannot be written.
    """
    text = json.dumps(to_json(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        data = text.encode()
    except UnicodeEncodeError as problem:
        around = text[max(0, problem.start - 20) : problem.end + 20]
        raise OutputError(
            f"{path}: a name in it is no Unicode text ({around!a}); rename that file or folder"
        ) from problem
    write_bytes(path, data)


def read_record(kind: type[T], path: Path, error: type[ResnetEdgeError]) -> T:
    """Read a dataclass from a JSON file.

    Raises:
        ResnetEdgeError: As ``error``, where the file is missing, is not JSON, or does not fit
            ``kind``.
    """
    return from_json(kind, read_json(path, error), str(path), error)


def read_json(path: Path, error: type[ResnetEdgeError]) -> object:
    """Read a JSON file of any content.

    Raises:
        ResnetEdgeError: As ``error``, where the file is missing or is not JSON.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise error(f"{path}: no such file; run the step that writes it") from None
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror})") from problem
    with refusing(lambda reason: error(f"{path}: not JSON ({reason}); delete it and run again")):
        return parse_json(text)
