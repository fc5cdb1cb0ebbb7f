"""Which of this package's own source files run on a device, found by following their imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import resnet_edge

ENTRIES = (
    "resnet_edge.device.start",
    "resnet_edge.answer_worker",
    "resnet_edge.bench_worker",
)
"""What is started: the archive itself, and the modules that it starts as processes."""

_HOME = Path(resnet_edge.__file__).parent.parent


def device_sources(entries: tuple[str, ...] = ENTRIES) -> dict[str, Path]:
    """Follow imports from the entries, also those inside functions.

    What is imported for type checkers alone is not followed.

    Args:
        entries: Modules of this package.

    Returns:
        Source files by their path in an archive, for instance ``resnet_edge/errors.py``, sorted.
    """
    found: dict[str, Path] = {}
    waiting = [name for entry in entries for name in _parents(entry)]
    while waiting:
        path = _source(waiting.pop())
        if path is None or path in found.values():
            continue
        found[path.relative_to(_HOME).as_posix()] = path
        imported = _Imports()
        imported.visit(ast.parse(path.read_text(encoding="utf-8")))
        waiting += [name for module in imported.modules for name in _parents(module)]
    return dict(sorted(found.items()))


class _Imports(ast.NodeVisitor):
    """Names that may be modules of this package."""

    def __init__(self) -> None:
        self.modules: set[str] = set()

    def visit_Import(self, node: ast.Import) -> None:
        self.modules |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module is not None:
            self.modules |= {f"{node.module}.{alias.name}" for alias in node.names}

    def visit_If(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.generic_visit(node)


def _parents(name: str) -> Iterator[str]:
    """``a.b.c`` and the packages around it; importing one imports these first."""
    parts = name.split(".")
    if parts[0] == "resnet_edge":
        yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _source(name: str) -> Path | None:
    """The file of a module or package; None for what a module only defines."""
    base = _HOME.joinpath(*name.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None
