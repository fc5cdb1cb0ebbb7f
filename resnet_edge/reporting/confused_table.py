"""The pairs of classes that are confused most, where a matrix of all classes is none to read."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_edge import units
from resnet_edge.ondevice.measurements import ArtifactParity
from resnet_edge.reporting.class_table import MAX_CLASSES
from resnet_edge.reporting.content import ReportContent


@dataclass(frozen=True)
class PairCell:
    """The pictures to which one artifact gives the wrong answer of a pair."""

    pictures: str
    change: int
    """-1 fewer than the reference, 0 as many, 1 more."""


@dataclass(frozen=True)
class PairRow:
    """One pair over the artifacts of ``ConfusedTable.artifacts``."""

    label: str
    """The true class."""
    answer: str
    reference: str
    cells: tuple[PairCell, ...]


@dataclass(frozen=True)
class ConfusedTable:
    """The wrong answers that the reference gives most, the most frequent first."""

    artifacts: tuple[str, ...]
    """The artifacts that give some of them more or less often."""
    same: tuple[str, ...]
    """The artifacts that give all of them as often."""
    rows: tuple[PairRow, ...]


def build_confused(content: ReportContent) -> ConfusedTable | None:
    """Return the table; None of few classes, or where no record holds the pairs."""
    if len(content.model.labels) <= MAX_CLASSES:
        return None
    known = [row.parity for row in content.artifacts if row.parity and row.parity.confused]
    if not known:
        return None
    differing = [parity for parity in known if _differs(parity)]
    # All were compared with one reference, so all records hold the same pairs.
    counts = [
        {(each.label, each.answer): each.after for each in parity.confused or ()}
        for parity in differing
    ]
    pairs = known[0].confused or ()
    return ConfusedTable(
        artifacts=tuple(parity.name for parity in differing),
        same=tuple(parity.name for parity in known if parity not in differing),
        rows=tuple(
            PairRow(
                each.label,
                each.answer,
                units.count(each.before),
                tuple(_cell(found[each.label, each.answer], each.before) for found in counts),
            )
            for each in pairs
        ),
    )


def _differs(parity: ArtifactParity) -> bool:
    return any(each.before != each.after for each in parity.confused or ())


def _cell(after: int, before: int) -> PairCell:
    return PairCell(units.count(after), (after > before) - (after < before))
