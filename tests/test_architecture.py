"""The layout of the house: the rooms and the rooms that each may know, by every module's imports.

Imports within functions count; those for type checkers alone do not.
"""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

MAX_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_TOP_LEVEL_FILES = 9

_MEASURING = {"ondevice.measurements", "ondevice.latency", "ondevice.parity", "ondevice.workers"}
"""Rooms that judge and time each other's records; their modules have an order, the rooms none."""

DEVICE_ROOMS = {
    # All that also runs on a device.
    "ondevice": {"errors", "ondevice.measurements"},
    "ondevice.formats": {"errors", "ondevice"},
    "ondevice.workers": {"errors", "ondevice", "resnet_edge"},
    "ondevice.measurements": {"errors", "units", "ondevice", *_MEASURING},
    "ondevice.runtimes": {"errors", "units", "ondevice", "ondevice.formats"}
    | {"ondevice.measurements"},
    "ondevice.parity": {"errors", "units", "ondevice", "ondevice.formats", "ondevice.runtimes"}
    | _MEASURING,
    "ondevice.latency": {"errors", "units", "ondevice", "ondevice.formats", "ondevice.runtimes"}
    | _MEASURING,
    "ondevice.command": {"errors", "units", "ondevice", "ondevice.formats", "ondevice.runtimes"}
    | _MEASURING,
}

ONDEVICE = set(DEVICE_ROOMS)
BELOW = ONDEVICE | {"errors", "units", "layout", "display", "zipapp", "options"}

ROOMS = {
    **DEVICE_ROOMS,
    "converters": set(),
    "resnet_edge": set(),  # the public names, loaded when they are asked for
    "errors": set(),
    "units": set(),
    "layout": set(),
    "display": set(),
    "zipapp": {"errors", "ondevice"},
    # photos -> model.keras -> artifacts -> results -> report
    "scale": {"errors", "resnet_edge", "ondevice", "ondevice.workers"},
    "data": {"errors", "ondevice", "scale", "units"},
    "training": {"converters", "data", "errors", "ondevice", "scale"},
    "model": {"converters", "errors", "ondevice"},
    "robustness": {"errors", "units", "data", "scale", *ONDEVICE},
    "compression": ONDEVICE | {"converters", "display", "errors", "training", "units"},
    "options": ONDEVICE
    | {"compression", "converters", "data", "errors", "layout", "robustness", "scale", "training"}
    | {"units"},
    "exporting": BELOW | {"converters", "data", "inspection", "model", "scale", "training"},
    "full_precision": BELOW | {"converters", "model"},
    "inspection": ONDEVICE | {"errors", "units", "model"},
    "diagnosis": ONDEVICE | {"errors", "units", "training"},  # the variable that training sets
    "devices": BELOW,
    "comparison": ONDEVICE | {"errors", "units", "layout", "options"},
    "recommendation": ONDEVICE | {"errors", "units"},
    "reporting": ONDEVICE
    | {"compression", "errors", "units", "exporting", "recommendation", "robustness"},
}
ROOMS["steps"] = set(ROOMS)
ROOMS["cli"] = set(ROOMS) | {"steps"}
ROOMS["__main__"] = {"cli"}
"""Every room, and the rooms that its modules may import."""


@cache
def modules() -> dict[str, Path]:
    """The project's modules by their dotted names."""
    found = {}
    for package in ("resnet_edge", "converters"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported_names(tree: ast.AST) -> Iterator[tuple[str, str | None]]:
    """Every (module, name) that a source imports; no name for ``import module``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from imported_names(ast.Module(node.orelse, []))
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not read here"
            yield from ((str(node.module), alias.name) for alias in node.names)
        else:
            yield from imported_names(node)


def imports_of(source: str, known: dict[str, Path]) -> set[str]:
    """The project's modules that a source imports."""
    found = set()
    for module, name in imported_names(ast.parse(source)):
        whole = f"{module}.{name}"
        if whole in known:
            found.add(whole)
        elif module in known:
            found.add(module)
    return found


@cache
def graph() -> dict[str, set[str]]:
    """The imported modules of every module."""
    return {name: imports_of(path.read_text(), modules()) for name, path in modules().items()}


def room_of(module: str) -> str:
    """The room of a module: the part behind ``resnet_edge``, in ``ondevice`` the part behind it."""
    first, *rest = module.split(".")
    if first == "converters" or not rest:
        return first
    inner = REPOSITORY / "resnet_edge" / "ondevice" / (rest[1] if len(rest) > 1 else "")
    if rest[0] == "ondevice" and len(rest) > 1 and inner.is_dir():
        return f"ondevice.{rest[1]}"
    return rest[0]


def test_no_module_imports_itself_over_others() -> None:
    order = list(graphlib.TopologicalSorter(graph()).static_order())  # raises CycleError
    assert set(order) == set(modules())


def test_a_circle_is_found() -> None:
    known = {"a": Path(), "b": Path()}
    sources = {"a": "def f():\n    from b import x\n", "b": "import a\n"}
    circle = {name: imports_of(source, known) for name, source in sources.items()}
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter(circle).static_order())
    typed = "import typing\nif typing.TYPE_CHECKING:\n    import b\nelse:\n    import a\n"
    assert imports_of(typed, known) == {"a"}


@pytest.mark.parametrize("room", sorted({room_of(module) for module in modules()}))
def test_a_room_knows_only_what_it_may(room: str) -> None:
    allowed = ROOMS[room] | {room}
    wrong = [
        f"{module} imports {other}"
        for module, others in graph().items()
        if room_of(module) == room
        for other in sorted(others)
        if room_of(other) not in allowed
    ]
    assert wrong == []


def test_every_allowed_room_is_there() -> None:
    rooms = {room_of(module) for module in modules()}
    assert set(ROOMS) == rooms


def test_data_flows_one_way() -> None:
    order: dict[str, set[str]] = {}
    for room, allowed in ROOMS.items():
        name = _whole(room)
        order.setdefault(name, set()).update({_whole(other) for other in allowed} - {name})
    order["ondevice"].discard("resnet_edge")  # the package itself, for where it lies
    list(graphlib.TopologicalSorter(order).static_order())  # raises CycleError


def _whole(room: str) -> str:
    return "ondevice" if room in ONDEVICE else room


def test_converters_and_devices_know_nothing_of_the_product() -> None:
    for module, others in graph().items():
        if module.startswith("converters"):
            assert not [other for other in others if other.startswith("resnet_edge")], module
        if module.startswith("resnet_edge.ondevice"):
            outside = {o for o in others if not o.startswith("resnet_edge.ondevice")}
            assert outside <= {"resnet_edge", "resnet_edge.errors", "resnet_edge.units"}, module


def test_the_top_level_is_a_table_of_contents() -> None:
    assert len(list((REPOSITORY / "resnet_edge").glob("*.py"))) <= MAX_TOP_LEVEL_FILES


@pytest.mark.parametrize("module", sorted(modules()))
def test_files_and_functions_are_short(module: str) -> None:
    source = modules()[module].read_text()
    assert source.count("\n") <= MAX_LINES
    long = [
        f"{node.name}: {lines} lines without its docstring"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (lines := _lines(node)) > MAX_FUNCTION_LINES
    ]
    assert long == []


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = function.body[0]
    has_docstring = ast.get_docstring(function) is not None
    return _span(function) - (_span(first) if has_docstring else 0)


def _span(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1
