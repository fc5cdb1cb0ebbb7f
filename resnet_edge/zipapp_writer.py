"""Puts modules of this project, as they are, into one file that Python runs: a zipapp.

Standard library only. Which modules are needed is read from their import statements, so that no
list of them goes stale.
"""

from __future__ import annotations

import ast
import importlib.util
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from resnet_edge.records import write_file

PACKAGES = ("resnet_edge", "converters")
"""Whose modules travel; all others have to be installed where the file runs."""

_DATE = (2020, 1, 1, 0, 0, 0)
"""Of every member: the same inputs give the same bytes."""

_FIRST_LINE = b"#!/usr/bin/env python3\n"

_START = """\
import sys

if sys.version_info < (3, 11):
    sys.exit("error: Python {{}}.{{}} found; 3.11 or later is needed".format(*sys.version_info))
from {entry} import main

sys.exit(main(sys.argv[1:]))
"""


def needed_modules(entry: str) -> dict[str, Path]:
    """Find a module's source and those of all that it imports, directly or not.

    Imports within functions count; those under ``if TYPE_CHECKING`` do not.

    Args:
        entry: A module of ``PACKAGES``, for instance ``resnet_edge.reference_runner``.

    Returns:
        Source files by module name, in the order of the names.
    """
    found: dict[str, Path] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        source = None if name in found else _source(name)
        if source is None:
            continue
        found[name] = source
        waiting += _parents(name)
        waiting += _imports(ast.parse(source.read_text(encoding="utf-8")))
    return dict(sorted(found.items()))


def write_zipapp(path: Path, entry: str, members: Mapping[str, Path | bytes]) -> None:
    """Write a file that runs ``entry.main(arguments)`` under any Python from 3.11 on.

    Args:
        path: The file; it is written beside its place, then renamed.
        entry: The module whose ``main`` takes the arguments and returns an exit code.
        members: Further content by name in the archive: files, or bytes.

    Raises:
        OutputError: It cannot be written.
    """
    content: dict[str, Path | bytes] = {"__main__.py": _START.format(entry=entry).encode()}
    for name, source in needed_modules(entry).items():
        tail = "/__init__.py" if source.name == "__init__.py" else ".py"
        content[name.replace(".", "/") + tail] = source
    content.update(members)

    def write(file: BinaryIO) -> None:
        file.write(_FIRST_LINE)
        with zipfile.ZipFile(file, "w") as archive:
            for name, what in content.items():
                _add(archive, name, what)

    write_file(path, write, rights=0o777)


def _add(archive: zipfile.ZipFile, name: str, content: Path | bytes) -> None:
    member = zipfile.ZipInfo(name, _DATE)
    # A model file is a zip already, and its weights do not shrink.
    member.compress_type = zipfile.ZIP_STORED if name.endswith(".keras") else zipfile.ZIP_DEFLATED
    member.external_attr = 0o644 << 16
    if isinstance(content, bytes):
        archive.writestr(member, content)
        return
    member.file_size = content.stat().st_size
    with content.open("rb") as source, archive.open(member, "w") as target:
        shutil.copyfileobj(source, target, 1 << 20)


def _source(name: str) -> Path | None:
    """The file of a module; None where it is of others, or a name within a module."""
    if name.partition(".")[0] not in PACKAGES:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # `from module import name`, taken for a module
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _imports(node: ast.AST) -> Iterator[str]:
    """Names that may be modules: ``from a import b`` gives ``a`` and ``a.b``."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                continue
            case ast.Import():
                yield from (alias.name for alias in child.names)
            case ast.ImportFrom(module=str(module)):
                yield module
                yield from (f"{module}.{alias.name}" for alias in child.names)
        yield from _imports(child)
