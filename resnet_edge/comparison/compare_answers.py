"""The answers of one artifact in two builds: accuracy, agreement with the reference, SQNR."""

from __future__ import annotations

import math

from resnet_edge.comparison.differences import (
    Change,
    Difference,
    Figure,
    exceeds,
    judge_interval,
)
from resnet_edge.comparison.intervals import CONFIDENCE, share_interval
from resnet_edge.comparison.tolerance import Tolerance
from resnet_edge.ondevice.measurements import ArtifactParity
from resnet_edge.ondevice.parity.answers import count_only
from resnet_edge.ondevice.parity.interval import accuracy_interval
from resnet_edge.ondevice.parity.noise import ENOUGH_DB, SAME_DB


def compare_answers(
    a: ArtifactParity, b: ArtifactParity, tolerance: Tolerance, where: str = ""
) -> tuple[Difference, ...]:
    """Compare an artifact's answers in two builds.

    If both records have the same pictures, the interval comes from the pictures on which they
    differ (``resnet_edge.ondevice.parity.interval``); else it is that of two samples.

    Args:
        a: The answers before, with the same classes as ``b``.
        b: The answers now.
        tolerance: The loss that is no regression.
        where: The device's name; empty for this machine.

    Returns:
        The figures that both have. One that became NaN is worse, by any tolerance.
    """
    if not (a.images and b.images):
        return ()
    figures = (
        _compare_share(Figure.TOP1, a, b, tolerance, where),
        _compare_share(Figure.AGREEMENT, a, b, tolerance, where),
        _compare_sqnr(a, b, tolerance, where),
    )
    return tuple(difference for difference in figures if difference is not None)


def _share(figure: Figure, parity: ArtifactParity) -> float:
    return parity.top1 if figure is Figure.TOP1 else parity.agreement


def _compare_share(
    figure: Figure, a: ArtifactParity, b: ArtifactParity, tolerance: Tolerance, where: str
) -> Difference | None:
    before, after = _share(figure, a), _share(figure, b)
    if math.isnan(before) or math.isnan(after):
        return _lost_figure(figure, before, after, where)
    amount = after - before
    if a.answers and b.answers and a.answers.pictures_sha256 == b.answers.pictures_sha256:
        right = figure is Figure.TOP1
        ours = a.answers.right if right else a.answers.agrees
        theirs = b.answers.right if right else b.answers.agrees
        gained, lost = count_only(theirs, ours), count_only(ours, theirs)
        interval = accuracy_interval(gained, lost, b.images, CONFIDENCE)
        basis = f"paired: {gained} gained, {lost} lost of {b.images} pictures"
        same = gained == lost == 0
    else:
        counts = [(round(share * n), n) for share, n in ((before, a.images), (after, b.images))]
        interval = share_interval(counts[0], counts[1])
        basis = f"not paired: {a.images} and {b.images} pictures"
        same = False
    match judge_interval(interval):
        case 1:
            change = Change.BETTER
        case -1:
            change = Change.WORSE
        case _:
            change = Change.SAME if same else Change.NOISE
    regression = change is Change.WORSE and exceeds(-amount, tolerance.accuracy)
    return Difference(
        figure, before, after, change, amount, interval, basis, where, regression=regression
    )


def _compare_sqnr(
    a: ArtifactParity, b: ArtifactParity, tolerance: Tolerance, where: str
) -> Difference | None:
    before, after = a.sqnr_db, b.sqnr_db
    if math.isnan(before) or math.isnan(after):
        return _lost_figure(Figure.SQNR, before, after, where)
    amount = after - before if after != before else 0.0  # not inf - inf
    shown = min(after, ENOUGH_DB) - min(before, ENOUGH_DB)
    if before == after:
        change = Change.SAME
    elif abs(shown) <= SAME_DB:
        change = Change.NOISE
    else:
        change = Change.BETTER if shown > 0 else Change.WORSE
    return Difference(
        figure=Figure.SQNR,
        a=before,
        b=after,
        change=change,
        amount=amount,
        interval=None,
        basis=f"up to {SAME_DB:g} dB, and all above {ENOUGH_DB:g} dB, counts as noise",
        where=where,
        regression=change is Change.WORSE and exceeds(-shown, tolerance.sqnr_db),
    )


def _lost_figure(figure: Figure, before: float, after: float, where: str) -> Difference | None:
    """Return a figure that is NaN on one side; None if it is NaN on both."""
    if math.isnan(before) and math.isnan(after):
        return None
    worse = math.isnan(after)
    return Difference(
        figure=figure,
        a=before,
        b=after,
        change=Change.WORSE if worse else Change.BETTER,
        amount=math.nan,
        interval=None,
        basis="the answers of one are worthless",
        where=where,
        regression=worse,
    )
