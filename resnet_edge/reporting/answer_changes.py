"""The changes from the reference's answers to an artifact's, as far as its record holds them."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_edge.ondevice.measurements import ArtifactParity, ConfusedPair, Interval
from resnet_edge.ondevice.parity.answers import count_only
from resnet_edge.ondevice.parity.calibration_error import CalibrationChange, calibration_of
from resnet_edge.ondevice.parity.class_loss import ClassChange, class_changes
from resnet_edge.ondevice.parity.findings import CONFIDENCE
from resnet_edge.ondevice.parity.flips import MarginRow, flips_by_margin
from resnet_edge.ondevice.parity.interval import accuracy_interval

TOP5_CLASSES = 6
"""With fewer classes every answer is among the five best."""


@dataclass(frozen=True)
class ShareChange:
    """The change of a share of the pictures, paired."""

    gained: int
    lost: int
    change: float
    interval: Interval


@dataclass(frozen=True)
class AnswerChanges:
    """All changes of one artifact; intervals have ``CONFIDENCE``."""

    top1: ShareChange
    top5: ShareChange | None
    """None with five classes or fewer."""
    calibration: CalibrationChange
    flips: tuple[MarginRow, ...]
    classes: tuple[ClassChange, ...]
    """Significant losses first, then the largest."""
    new_confusions: tuple[ConfusedPair, ...]
    most_confused: tuple[ConfusedPair, ...]
    """The wrong answers that the reference gives most; none where an earlier version recorded."""


def answer_changes(parity: ArtifactParity) -> AnswerChanges | None:
    """Return the changes; None where nothing was compared, or an earlier version recorded it."""
    answers, kept, grown = parity.answers, parity.probabilities, parity.grown
    calibration = calibration_of(parity, CONFIDENCE)
    flips, classes = flips_by_margin(parity), class_changes(parity.classes, CONFIDENCE)
    if answers is None or kept is None or grown is None:
        return None
    if calibration is None or flips is None or classes is None:
        return None
    several = len(parity.classes) >= TOP5_CLASSES
    return AnswerChanges(
        top1=_share_change(answers.right, answers.reference_right, parity.images),
        top5=_share_change(kept.top5, kept.reference_top5, parity.images) if several else None,
        calibration=calibration,
        flips=flips,
        classes=classes,
        new_confusions=grown,
        most_confused=parity.confused or (),
    )


def _share_change(bits: str, reference: str, images: int) -> ShareChange:
    gained, lost = count_only(bits, reference), count_only(reference, bits)
    interval = accuracy_interval(gained, lost, images, CONFIDENCE)
    return ShareChange(gained, lost, (gained - lost) / images, interval)
