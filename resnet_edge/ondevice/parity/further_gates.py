"""The gates beside that of the accuracy: calibration and the worst class.

They are off until a limit is given, and judge records as well as fresh answers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from resnet_edge.ondevice.measurements import (
    ArtifactParity,
    FurtherGate,
    GateResult,
    Interval,
    Verdict,
)
from resnet_edge.ondevice.parity.calibration_error import calibration_of
from resnet_edge.ondevice.parity.class_loss import ClassChange, class_changes
from resnet_edge.ondevice.parity.gates import Gates, not_checked
from resnet_edge.ondevice.parity.interval import MAX_PICTURES, accuracy_interval, images_needed
from resnet_edge.units import plural

CALIBRATION, CLASSES = "calibration", "classes"
_NAMED = 3


def judge_further(parity: ArtifactParity, gates: Gates) -> tuple[FurtherGate, ...]:
    """Judge an artifact by the limits that were given.

    Args:
        parity: The record; if its answers collapsed, every gate fails.
        gates: The limits.
    """
    return tuple(FurtherGate(name, result) for name, result in _judge(parity, gates))


def lacks(parity: ArtifactParity, gates: Gates) -> str:
    """Return what a gate needs and the record of an earlier version has not; empty if nothing."""
    if parity.collapse is not None or not parity.images:
        return ""
    if gates.max_ece_increase is not None and parity.probabilities is None:
        return "the probabilities picture by picture"
    if gates.max_class_loss is not None and class_changes(parity.classes, 0.5) is None:
        return "the pictures that each class lost"
    return ""


def _judge(parity: ArtifactParity, gates: Gates) -> Iterator[tuple[str, GateResult]]:
    limits = ((CALIBRATION, gates.max_ece_increase), (CLASSES, gates.max_class_loss))
    for name, limit in limits:
        if limit is None:
            continue
        if parity.collapse is not None:
            yield name, GateResult(Verdict.FAIL, f"collapsed: {parity.collapse}")
        elif not parity.images:
            yield name, not_checked("there is no test split")
        elif name == CALIBRATION:
            yield name, _judge_calibration(parity, limit, gates.confidence)
        else:
            yield name, _judge_classes(parity, limit, gates.confidence)


def _judge_calibration(parity: ArtifactParity, limit: float, confidence: float) -> GateResult:
    found = calibration_of(parity, confidence)
    if found is None:
        return GateResult(Verdict.FAIL, "the answers are no probabilities")
    interval, increase = found.interval, found.increase
    reason = (
        f"ECE {found.artifact.ece:.2%}, reference {found.reference.ece:.2%}: increase "
        f"{100 * increase:+.2f} points, {confidence:.0%} interval {_points(interval)}; it must lie "
        f"below {100 * limit:+.2f}"
    )
    if interval.high < limit:
        return GateResult(Verdict.PASS, reason, interval)
    if interval.low > limit:
        return GateResult(Verdict.FAIL, reason, interval)
    more = _pictures_for(increase, interval, limit, parity.images)
    return _undecided(reason, interval, more)


def _pictures_for(value: float, interval: Interval, limit: float, images: int) -> int | None:
    """Estimate the further pictures that decide; a width shrinks with the root of their number."""
    half = interval.high - value if value < limit else value - interval.low
    distance = abs(value - limit)
    if half >= distance * math.sqrt(MAX_PICTURES / images):
        return None
    return max(1, round(images * (half / distance) ** 2) - images)


def _judge_classes(parity: ArtifactParity, limit: float, confidence: float) -> GateResult:
    """Judge every class.

    One class that fell below the limit fails the file, so failing takes the intervals that hold for
    all classes at once. Passing claims something of all classes; the claim is wrong only where the
    claim for one class is, so it takes each class's own interval (R. L. Berger, "Multiparameter
    hypothesis testing and acceptance sampling", Technometrics 24 (1982): intersection-union test).
    """
    changes = class_changes(parity.classes, confidence)
    if not changes:
        return GateResult(Verdict.FAIL, "it is not known what the classes lost")
    worst = changes[0]
    lows = {
        each: accuracy_interval(each.gained, each.lost, each.images, confidence).low
        for each in changes
    }
    lowest = min(changes, key=lambda each: lows[each])
    reason = (
        f"the worst of {plural(len(changes), 'class')} is {_class_words(worst)}; the lowest bound "
        f"of a single class is {100 * lows[lowest]:+.2f} ({lowest.label}), and must lie above "
        f"{-100 * limit:+.2f}"
    )
    if failed := [each for each in changes if each.interval.high < -limit]:
        words = f"{_names(failed)} lost more than {100 * limit:.2f} points; {reason}"
        return GateResult(Verdict.FAIL, words, failed[0].interval)
    open_classes = [each for each in changes if not lows[each] > -limit]
    if not open_classes:
        return GateResult(Verdict.PASS, reason, worst.interval)
    needs = []
    for each in open_classes:
        more = images_needed(each.gained, each.lost, each.images, -limit, confidence)
        needs.append(None if more is None else -(-more * parity.images // each.images))
    known = [need for need in needs if need is not None]
    more = max(known) if len(known) == len(needs) else None
    words = f"not decided for {_names(open_classes)}: {reason}"
    return _undecided(words, worst.interval, more)


def _undecided(reason: str, interval: Interval, more: int | None) -> GateResult:
    need = "no number of pictures would decide at these rates"
    if more is not None:
        need = f"needs about {more} more pictures"
    return GateResult(Verdict.INCONCLUSIVE, f"{reason}; {need}", interval, more)


def _names(changes: list[ClassChange]) -> str:
    names = ", ".join(each.label for each in changes[:_NAMED])
    rest = len(changes) - _NAMED
    return f"{names} and {plural(rest, 'more class')}" if rest > 0 else names


def _class_words(each: ClassChange) -> str:
    return (
        f"{each.label} ({each.gained} gained, {each.lost} lost of {each.images}): "
        f"{100 * each.change:+.2f} points, simultaneous {each.interval.confidence:.0%} interval "
        f"{_points(each.interval)}"
    )


def _points(interval: Interval) -> str:
    return f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}"
