"""Each class's change of accuracy, with intervals that hold for all classes at once.

The share of one class in top-1 is small, so a class can be lost while top-1 hardly moves. Among
many classes some lose by chance; an interval each at the usual confidence would accuse them. Here
each has the confidence 1 - (1 - confidence) / classes (Bonferroni), so all of them hold together
with at least ``confidence``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnet_edge.ondevice.measurements import ClassResult, Interval
from resnet_edge.ondevice.parity.interval import accuracy_interval


@dataclass(frozen=True)
class ClassChange:
    """One class's change of top-1 from the reference to the artifact."""

    label: str
    images: int
    gained: int
    lost: int
    change: float
    """Of the accuracy in this class; below 0 where the artifact is worse."""
    interval: Interval
    """Of the change; ``confidence`` is that of all classes together."""

    @property
    def significant(self) -> bool:
        """True if the class lost, and not by chance."""
        return self.interval.high < 0


def class_changes(
    classes: Sequence[ClassResult], confidence: float
) -> tuple[ClassChange, ...] | None:
    """Return the change of each class that has pictures, significant losses first, then the worst.

    Args:
        classes: As a record has them.
        confidence: Two-sided, of all intervals together.

    Returns:
        None where an earlier version wrote the record, without what each class gained and lost.
    """
    changes = []
    tested = [each for each in classes if each.images]
    alone = 1 - (1 - confidence) / max(1, len(tested))
    for each in tested:
        if each.gained is None or each.lost is None:
            return None
        found = accuracy_interval(each.gained, each.lost, each.images, alone)
        change = (each.gained - each.lost) / each.images
        interval = Interval(found.low, found.high, confidence)
        changes.append(
            ClassChange(each.label, each.images, each.gained, each.lost, change, interval)
        )
    return tuple(sorted(changes, key=lambda each: (not each.significant, each.change)))
