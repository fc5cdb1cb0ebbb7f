"""Which of this project's own source files a module needs, found by following its imports.

So that no list of them goes stale: what travels to a device or to another machine is these files.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

import resnet_edge

_HOME = Path(resnet_edge.__file__).parent.parent


def imported_sources(
    entries: Sequence[str], packages: Sequence[str] = ("resnet_edge",)
) -> dict[str, Path]:
    """Follow imports from the entries, also those inside functions.

    What is imported for type checkers alone is not followed.

    Args:
        entries: Modules of ``packages``, for instance ``resnet_edge.bench_worker``.
        packages: Whose modules count; all others have to be installed where the files run.

    Returns:
        Source files by their path in an archive, for instance ``resnet_edge/errors.py``, sorted.
    """
    found: dict[str, Path] = {}
    waiting = [name for entry in entries for name in _with_parents(entry, packages)]
    while waiting:
        path = _source(waiting.pop())
        if path is None or path in found.values():
            continue
        found[path.relative_to(_HOME).as_posix()] = path
        imported = _Imports()
        imported.visit(ast.parse(path.read_text(encoding="utf-8")))
        waiting += [name for each in imported.modules for name in _with_parents(each, packages)]
    return dict(sorted(found.items()))


class _Imports(ast.NodeVisitor):
    """Names that may be modules: ``from a import b`` gives ``a.b``."""

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


def _with_parents(name: str, packages: Sequence[str]) -> Iterator[str]:
    """``a.b.c`` and the packages around it; importing one imports these first."""
    parts = name.split(".")
    if parts[0] in packages:
        yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _source(name: str) -> Path | None:
    """The file of a module or package; None for what a module only defines."""
    base = _HOME.joinpath(*name.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None
