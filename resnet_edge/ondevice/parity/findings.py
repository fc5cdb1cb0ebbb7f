"""Findings: harm that top-1 does not show, and that is not chance.

A finding is shown first in the report and after the verdicts in the terminal. It changes no
verdict: that is for ``--max-ece-increase`` and ``--max-class-loss``.
"""

from __future__ import annotations

from collections.abc import Iterator

from resnet_edge.ondevice.measurements import ArtifactParity, Interval
from resnet_edge.ondevice.parity.calibration_error import calibration_of
from resnet_edge.ondevice.parity.class_loss import ClassChange, class_changes
from resnet_edge.units import plural

CONFIDENCE = 0.95
"""Two-sided, of every interval that findings and the report show."""

LEAST_ECE_INCREASE = 0.01
"""A smaller increase is none: rounding moves every confidence a little, and with many pictures any
movement is significant. One point is less than two trainings of one network differ by."""

MOST_SHIFT = 0.03
"""A larger shift of the mean confidence is harm also where the ECE stays, because the reference was
as far off on the other side: an app's limit on the confidence then lets other answers through."""

_NAMED = 3
"""Classes of one artifact that get a sentence each."""


def find_harm(parity: ArtifactParity, where: str = "") -> tuple[str, ...]:
    """Return a sentence for each finding; none where the record does not hold the figures, or the
    answers collapsed: the verdict says that.

    Args:
        parity: The record.
        where: Stands for the artifact's name, for instance with its runtime.
    """
    if parity.collapse is not None:
        return ()
    name = where or parity.name
    return (*_lost_classes(parity, name), *_lost_calibration(parity, name))


def _lost_classes(parity: ArtifactParity, name: str) -> Iterator[str]:
    changes = class_changes(parity.classes, CONFIDENCE) or ()
    lost = [each for each in changes if each.significant]
    for each in lost[:_NAMED]:
        yield f"{name} lost accuracy in class {each.label}: {class_words(each)}."
    if (rest := len(lost) - _NAMED) > 0:
        yield f"{name} lost accuracy in {plural(rest, 'more class')}."


def _lost_calibration(parity: ArtifactParity, name: str) -> Iterator[str]:
    found = calibration_of(parity, CONFIDENCE)
    if found is None:
        return
    shift = found.confidence_change
    words = (
        f"its confidence is {abs(100 * shift):.1f} points {'higher' if shift > 0 else 'lower'} "
        f"({_interval(found.confidence_interval)})"
    )
    if found.interval.low > 0 and found.increase >= LEAST_ECE_INCREASE:
        yield (
            f"{name} is worse calibrated than the reference: ECE {found.artifact.ece:.1%} against "
            f"{found.reference.ece:.1%}, {100 * found.increase:+.1f} points "
            f"({_interval(found.interval)}); {words}."
        )
    elif found.confidence_interval.low > MOST_SHIFT or found.confidence_interval.high < -MOST_SHIFT:
        sure = "surer" if shift > 0 else "less sure"
        yield f"{name} is {sure} than the reference: {words}; a limit on it means something else."


def class_words(each: ClassChange) -> str:
    """Say what a class lost: counts, points, simultaneous interval."""
    return (
        f"{each.lost} lost and {each.gained} gained of {each.images} pictures, "
        f"{100 * each.change:+.1f} points (simultaneous {_interval(each.interval)})"
    )


def _interval(interval: Interval) -> str:
    low, high = 100 * interval.low, 100 * interval.high
    return f"{interval.confidence:.0%} interval {low:+.1f} to {high:+.1f}"
