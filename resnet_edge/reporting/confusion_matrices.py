"""Confusion matrices, cut down to the classes with the most wrong answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet_edge.reporting.content import ArtifactRow, Confusion, ReportContent

MAX_CLASSES = 20
"""More rows than this cannot be read; the classes with the most wrong answers are kept."""
OTHER = "other"

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cell:
    """One count of a matrix."""

    count: int
    share: float
    """The share of the row's pictures, in [0, 1]; a larger one is drawn darker."""
    correct: bool
    before: int | None
    """The reference's count where that differs, else None."""


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix ready to be drawn; a last column holds all classes that are not shown."""

    names: tuple[str, ...]
    """The artifact, or several that have the same matrix."""
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class ConfusionSection:
    """The reference's matrix and each that differs from it, worst agreement first."""

    reference: Matrix | None
    artifacts: tuple[Matrix, ...]
    same: tuple[str, ...]
    """Artifacts whose matrix is the reference's."""
    classes: int
    shown: int


def build_confusion(content: ReportContent) -> ConfusionSection | None:
    """Return the matrices to show, all with the same classes; None where nothing was measured."""
    labels = content.model.labels
    raw = content.reference.confusion if content.reference else None
    reference = _counts(raw, len(labels)) if raw is not None else None
    # Without test pictures, or with very many classes, parity leaves the matrix out.
    measured = [row for row in content.artifacts if row.parity and row.parity.confusion]
    measured.sort(key=_agreement)
    groups = _group(measured, len(labels))
    if reference is None and not groups:
        return None
    everything = [counts for _, counts in groups] + ([reference] if reference is not None else [])
    shown = _worst_classes(everything)
    same = [
        n for names, c in groups if reference is not None and _equal(c, reference) for n in names
    ]
    differing = [(names, counts) for names, counts in groups if names[0] not in same]
    return ConfusionSection(
        reference=None if reference is None else _matrix(("reference",), reference, shown, labels),
        artifacts=tuple(_matrix(n, c, shown, labels, reference) for n, c in differing),
        same=tuple(same),
        classes=len(labels),
        shown=len(shown),
    )


def _agreement(row: ArtifactRow) -> float:
    # NaN goes first: it is the worst of all.
    agreement = row.parity.agreement if row.parity else 1.0
    return agreement if agreement == agreement else -1.0


def _counts(confusion: Confusion, classes: int) -> Counts:
    counts = np.asarray(confusion, dtype=np.int64)
    if counts.shape != (classes, classes):
        raise ValueError(
            f"confusion matrix of shape {counts.shape}; expected {(classes, classes)}, "
            "a row and a column per class of the model"
        )
    return counts


def _group(rows: Sequence[ArtifactRow], classes: int) -> list[tuple[tuple[str, ...], Counts]]:
    groups: list[tuple[tuple[str, ...], Counts]] = []
    for row in rows:
        if row.parity is None:
            continue
        counts = _counts(row.parity.confusion, classes)
        for place, (names, other) in enumerate(groups):
            if _equal(counts, other):
                groups[place] = ((*names, row.name), other)
                break
        else:
            groups.append(((row.name,), counts))
    return groups


def _equal(left: Counts, right: Counts) -> bool:
    return bool(np.array_equal(left, right))


def _worst_classes(matrices: Sequence[Counts]) -> list[int]:
    """Return the classes with the most wrong answers, to or from them, in the model's order."""
    errors = sum(m.sum(0) + m.sum(1) - 2 * m.diagonal() for m in matrices)
    order = np.argsort(-np.asarray(errors), kind="stable")
    return sorted(int(i) for i in order[:MAX_CLASSES])


def _matrix(
    names: tuple[str, ...],
    counts: Counts,
    shown: list[int],
    labels: tuple[str, ...],
    reference: Counts | None = None,
) -> Matrix:
    rows = tuple(labels[i] for i in shown)
    all_shown = len(shown) == len(labels)
    totals = counts.sum(1)
    cut, before = _cut(counts, shown), None if reference is None else _cut(reference, shown)
    cells = []
    for place, index in enumerate(shown):
        width = len(shown) + (0 if all_shown else 1)
        line = [
            Cell(
                count=int(cut[place, column]),
                share=float(cut[place, column] / totals[index]) if totals[index] else 0.0,
                correct=column == place,
                before=_changed(cut, before, place, column),
            )
            for column in range(width)
        ]
        cells.append(tuple(line))
    return Matrix(names, rows, rows if all_shown else (*rows, OTHER), tuple(cells))


def _cut(counts: Counts, shown: list[int]) -> Counts:
    """Keep the shown classes, and put all other answers into one more column."""
    kept = counts[np.ix_(shown, shown)]
    rest = counts[shown].sum(1) - kept.sum(1)
    return np.concatenate([kept, rest[:, None]], axis=1)


def _changed(counts: Counts, before: Counts | None, row: int, column: int) -> int | None:
    if before is None or counts[row, column] == before[row, column]:
        return None
    return int(before[row, column])
