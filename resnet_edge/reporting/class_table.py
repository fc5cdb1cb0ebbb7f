"""Results per class: those that lose most; of many classes also those that gain most, and all."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_edge import units
from resnet_edge.ondevice.measurements import ArtifactParity, ClassResult
from resnet_edge.reporting.content import ReportContent

MAX_CLASSES = 20
"""More rows than this are a list to search in, behind a table of so many."""
MAX_GAINING = 10


@dataclass(frozen=True)
class ClassCell:
    """One artifact's top-1 in one class."""

    top1: str
    change: int
    """-1 worse than the reference, 0 equal, 1 better."""


@dataclass(frozen=True)
class ClassRow:
    """One class over the artifacts of ``ClassTable.artifacts``."""

    label: str
    images: str
    reference: str
    cells: tuple[ClassCell, ...]
    loss: str
    """The largest loss of any artifact in points, or else the smallest gain."""


@dataclass(frozen=True)
class ClassTable:
    """The classes with test pictures, worst first."""

    artifacts: tuple[str, ...]
    """The artifacts whose top-1 differs from the reference's in some class."""
    same: tuple[str, ...]
    """The artifacts whose top-1 is the reference's in every class."""
    rows: tuple[ClassRow, ...]
    """Those that lose most."""
    gaining: tuple[ClassRow, ...]
    """Those that gain most, best first; empty where ``rows`` are all classes."""
    every: tuple[ClassRow, ...]
    """All of them; empty where ``rows`` are."""
    classes: int
    """The number of classes with test pictures."""
    untested: int
    """The number of classes without any."""


def build_class_table(content: ReportContent) -> ClassTable | None:
    """Return the classes that lose most in any artifact; None where nothing was measured."""
    measured = [row.parity for row in content.artifacts if row.parity is not None]
    if not measured:
        return None
    differing = [parity for parity in measured if any(map(_change, parity.classes))]
    by_class = _by_class(differing or measured[:1])
    tested = sorted((results for results in by_class if results[0].images), key=_loss)
    best = sorted(tested, key=_gain, reverse=True)
    rows = [_class_row(results, bool(differing)) for results in tested]
    many = len(tested) > MAX_CLASSES
    return ClassTable(
        artifacts=tuple(parity.name for parity in differing),
        same=tuple(parity.name for parity in measured if parity not in differing),
        rows=tuple(rows[:MAX_CLASSES]),
        gaining=tuple(
            _class_row(results, True)
            for results in best[:MAX_GAINING]
            if many and _gain(results)[0] > 0
        ),
        every=tuple(rows) if many else (),
        classes=len(tested),
        untested=len(by_class) - len(tested),
    )


def _by_class(measured: list[ArtifactParity]) -> list[tuple[ClassResult, ...]]:
    return list(zip(*(parity.classes for parity in measured), strict=True))


def _loss(results: tuple[ClassResult, ...]) -> tuple[float, float]:
    """Order by the largest loss of any artifact, then by the lowest top-1; NaN counts as 0."""
    return min(map(_difference, results)), min(_share(result.top1) for result in results)


def _gain(results: tuple[ClassResult, ...]) -> tuple[float, float]:
    """Order by the largest gain of any artifact, then by the highest top-1."""
    return max(map(_difference, results)), max(_share(result.top1) for result in results)


def _difference(result: ClassResult) -> float:
    return _share(result.top1) - _share(result.reference_top1)


def _share(value: float) -> float:
    return value if value == value else 0.0


def _change(result: ClassResult) -> int:
    if not result.images:
        return 0
    difference = _difference(result)
    return (difference > 1e-9) - (difference < -1e-9)


def _class_row(results: tuple[ClassResult, ...], differ: bool) -> ClassRow:
    cells = (ClassCell(units.percent(result.top1, 1), _change(result)) for result in results)
    return ClassRow(
        label=results[0].label,
        images=units.count(results[0].images),
        reference=units.percent(results[0].reference_top1, 1),
        cells=tuple(cells) if differ else (),
        loss=units.points(min(map(_difference, results))),
    )
