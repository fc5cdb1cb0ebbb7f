"""The section behind top-1: calibration, flips, classes, new confusions, top-5, as strings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnet_edge import units
from resnet_edge.ondevice.measurements import ArtifactParity, Interval
from resnet_edge.ondevice.parity.calibration_error import Calibration, CalibrationChange
from resnet_edge.ondevice.parity.class_loss import ClassChange
from resnet_edge.ondevice.parity.findings import CONFIDENCE, find_harm
from resnet_edge.ondevice.parity.flips import MarginRow
from resnet_edge.reporting.answer_changes import AnswerChanges, ShareChange, answer_changes
from resnet_edge.reporting.content import ReportContent

LEAD = (
    "The same answers, looked at more closely. Changes are those from the reference to the "
    f"artifact in percentage points, each with its paired {units.percent(CONFIDENCE, 0)} interval; "
    "where it includes 0 the change may be chance."
)
HEADINGS = (
    "artifact",
    "top-1",
    "top-5",
    "ECE",
    "change of the ECE",
    "change of the confidence",
    "flips: lost, gained, wrong twice",
    "worst class",
)
FLIP_HEADINGS = ("margin", "pictures", "flips", "lost", "gained", "wrong twice")
CLASS_HEADINGS = ("class", "pictures", "lost", "gained", "change", "simultaneous interval")
CONFUSION_HEADINGS = ("true class", "answer", "reference", "artifact")

MOST_CLASSES = 10
LEAST_SHIFT = 0.001
"""An artifact that flips nothing and moves the mean confidence by less gets no details."""


@dataclass(frozen=True)
class QualityCell:
    """A figure with its interval; the interval is empty where there is none."""

    value: str
    interval: str = ""

    @property
    def words(self) -> str:
        """Both in one line."""
        return f"{self.value} ({self.interval})" if self.interval else self.value


@dataclass(frozen=True)
class QualityRow:
    """One artifact in the order of ``HEADINGS``, or the reference."""

    cells: tuple[QualityCell, ...]
    harmed: bool
    """True if there is a finding."""


@dataclass(frozen=True)
class QualityDetails:
    """One artifact's details, in the order of the headings above."""

    artifact: str
    summary: str
    harmed: bool
    flipped: bool
    calibration: CalibrationChange
    flips: tuple[tuple[str, ...], ...]
    classes: tuple[tuple[str, ...], ...]
    confusions: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class QualitySection:
    """All artifacts that were compared."""

    headings: tuple[str, ...]
    rows: tuple[QualityRow, ...]
    details: tuple[QualityDetails, ...]
    alike: tuple[str, ...]
    """Artifacts without details: they answer like the reference."""
    unknown: tuple[str, ...]
    """Artifacts whose record an earlier version wrote."""
    noise: str
    """The ECE that chance alone makes, in words."""
    lead: str = LEAD


def build_quality(content: ReportContent) -> QualitySection | None:
    """Return the section; None where no answers were compared."""
    compared = [
        row.parity for row in content.artifacts if row.parity is not None and row.parity.answers
    ]
    known = [(parity, found) for parity in compared if (found := answer_changes(parity))]
    unknown = tuple(
        parity.name
        for parity in compared
        if parity.collapse is None and answer_changes(parity) is None
    )
    if not known and not unknown:
        return None
    with_top5 = any(found.top5 is not None for _, found in known)
    rows = [_row(parity, found) for parity, found in known]
    noise = ""
    if known:
        reference = known[0][1].calibration.reference
        rows.insert(0, _reference_row(reference, content))
        noise = (
            f"With {units.plural(known[0][0].images, 'picture')} chance alone makes an ECE of "
            f"about {units.percent(reference.noise_floor, 1)} in {len(reference.bins)} bins; in "
            "the change of the ECE most of that is gone."
        )
    details = [_details(parity, found) for parity, found in known if _moved(found)]
    return QualitySection(
        headings=HEADINGS if with_top5 else (*HEADINGS[:2], *HEADINGS[3:]),
        rows=tuple(rows) if with_top5 else tuple(map(_without_top5, rows)),
        details=tuple(details),
        alike=tuple(parity.name for parity, found in known if not _moved(found)),
        unknown=unknown,
        noise=noise,
    )


def _without_top5(row: QualityRow) -> QualityRow:
    return QualityRow((*row.cells[:2], *row.cells[3:]), row.harmed)


def _moved(found: AnswerChanges) -> bool:
    flips = sum(row.flips for row in found.flips)
    return flips > 0 or abs(found.calibration.confidence_change) >= LEAST_SHIFT


def _reference_row(reference: Calibration, content: ReportContent) -> QualityRow:
    section = content.reference
    cells = (
        "reference",
        units.percent(section.top1 if section else None),
        units.percent(section.top5 if section else None),
        units.percent(reference.ece),
        *[units.NOTHING] * 4,
    )
    return QualityRow(tuple(map(QualityCell, cells)), harmed=False)


def _row(parity: ArtifactParity, found: AnswerChanges) -> QualityRow:
    calibration = found.calibration
    cells = (
        QualityCell(parity.name),
        _share(found.top1),
        QualityCell(units.NOTHING) if found.top5 is None else _share(found.top5),
        QualityCell(units.percent(calibration.artifact.ece)),
        _points(calibration.increase, calibration.interval),
        _points(calibration.confidence_change, calibration.confidence_interval),
        QualityCell(_flip_words(found.flips)),
        _class_cell(found.classes),
    )
    return QualityRow(cells, harmed=bool(find_harm(parity)))


def _share(found: ShareChange) -> QualityCell:
    return _points(found.change, found.interval)


def _points(value: float, interval: Interval) -> QualityCell:
    return QualityCell(units.points(value), _range(interval))


def _range(interval: Interval) -> str:
    return f"{units.points(interval.low)} to {units.points(interval.high)}"


def _flip_words(rows: Sequence[MarginRow]) -> str:
    flips = sum(row.flips for row in rows)
    if not flips:
        return "0"
    parts = (sum(getattr(row, what) for row in rows) for what in ("lost", "gained", "wrong_twice"))
    return f"{units.count(flips)}: {', '.join(map(units.count, parts))}"


def _class_cell(classes: Sequence[ClassChange]) -> QualityCell:
    if not classes or classes[0].change >= 0:
        return QualityCell("none lost")
    worst = classes[0]
    return QualityCell(f"{worst.label}: {units.points(worst.change)}", _range(worst.interval))


def _details(parity: ArtifactParity, found: AnswerChanges) -> QualityDetails:
    lost = [each for each in found.classes if each.lost or each.gained]
    surest = max((row.low for row in found.flips if row.lost), default=None)
    summary = f"{_plain_flips(found.flips)} of {units.plural(parity.images, 'answer')} flipped"
    if surest is not None:
        summary += f", the surest that was lost had a margin of {units.percent(surest, 0)} or more"
    return QualityDetails(
        artifact=parity.name,
        summary=summary,
        harmed=bool(find_harm(parity)),
        flipped=any(row.flips for row in found.flips),
        calibration=found.calibration,
        flips=tuple(_flip_row(row) for row in found.flips),
        classes=tuple(_class_row(each) for each in lost[:MOST_CLASSES]),
        confusions=tuple(
            (each.label, each.answer, units.count(each.before), units.count(each.after))
            for each in found.new_confusions
        ),
    )


def _plain_flips(rows: Sequence[MarginRow]) -> str:
    return units.count(sum(row.flips for row in rows))


def _flip_row(row: MarginRow) -> tuple[str, ...]:
    counts = (row.pictures, row.flips, row.lost, row.gained, row.wrong_twice)
    margin = f"{units.percent(row.low, 0)} to {units.percent(row.high, 0)}"
    return (margin, *map(units.count, counts))


def _class_row(each: ClassChange) -> tuple[str, ...]:
    counts = (each.images, each.lost, each.gained)
    return (
        each.label,
        *map(units.count, counts),
        units.points(each.change),
        _range(each.interval),
    )
