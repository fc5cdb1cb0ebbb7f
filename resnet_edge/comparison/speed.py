"""Size, latency, memory and load time of one artifact in two builds.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from resnet_edge.comparison.differences import Change, Difference, Figure, Tolerance, apart, exceeds
from resnet_edge.comparison.intervals import LEAST_SAMPLES, ratio_interval
from resnet_edge.recommendation.candidate import SAME_MEDIAN, as_fast
from resnet_edge.results import ArtifactBench, Latency

SAME_LOAD = 0.75
"""Load times this near each other, as a share of the longer one, count as equal, and more is told
but is no regression: each is read once, and two runs of one file were seen to differ by 2.6 times.
"""

SAME_MEMORY = 0.05
"""Peaks this near each other, as a share of the larger one, count as equal: each is read once."""


def compare_size(a: int, b: int, tolerance: Tolerance) -> Difference:
    """Compare two files' bytes, which are exact.

    Args:
        a: Bytes, above 0.
        b: Bytes of what is compared with it.
        tolerance: What is no regression.
    """
    change = Change.SAME if a == b else Change.BETTER if b < a else Change.WORSE
    regression = exceeds(b / a - 1, tolerance.share)
    return Difference(Figure.SIZE, a, b, change, b / a - 1, None, "exact", regression=regression)


def noise_floors(pairs: Sequence[tuple[ArtifactBench, ArtifactBench]]) -> dict[int, float]:
    """How far one file's medians lie apart in the two runs, by thread count.

    A file that is the same to the byte, in the same runtime on the same machine, is as fast as it
    was: what its latency changed by is the machine's doing, and so may as much of any other.

    Args:
        pairs: Artifacts in both runs, measured in the same versions on the same machine.

    Returns:
        The largest distance, as a share of the larger median.
    """
    floors: dict[int, float] = {}
    for a, b in pairs:
        if a.sha256 != b.sha256:
            continue
        for before, after in latency_pairs(a, b):
            floor = floors.get(before.threads, 0.0)
            floors[before.threads] = max(floor, apart(before.p50_s, after.p50_s))
    return floors


def latency_pairs(a: ArtifactBench, b: ArtifactBench) -> tuple[tuple[Latency, Latency], ...]:
    """Latencies with the same runtime and thread count."""
    return tuple(
        (before, after)
        for before in a.latencies
        for after in b.latencies
        if (before.runtime, before.threads) == (after.runtime, after.threads)
    )


def compare_speed(
    a: ArtifactBench,
    b: ArtifactBench,
    floors: Mapping[int, float],
    tolerance: Tolerance,
    where: str = "",
) -> tuple[Difference, ...]:
    """Compare median latency, peak memory and load time, by runtime and thread count.

    Args:
        a: One artifact's latencies.
        b: What is compared with it.
        floors: Of ``noise_floors``; a thread count that is missing has none but ``SAME_MEDIAN``.
        tolerance: What is no regression.
        where: The machine.
    """
    found: list[Difference] = []
    for before, after in latency_pairs(a, b):
        floor = floors.get(before.threads, 0.0)
        found.append(_compare_latency(before, after, floor, tolerance, where))
        memory = before.peak_memory_bytes, after.peak_memory_bytes
        load = before.load_s, after.load_s
        for figure, values, noise in (
            (Figure.MEMORY, memory, SAME_MEMORY),
            (Figure.LOAD, load, SAME_LOAD),
        ):
            if min(values) > 0:  # where a system does not tell, it is 0
                found.append(_compare_reading(figure, values, noise, tolerance, before, where))
    return tuple(found)


def _compare_latency(
    before: Latency, after: Latency, floor: float, tolerance: Tolerance, where: str
) -> Difference:
    """More than noise is what all of these say: the interval, the spread, the floors."""
    interval = ratio_interval(before.samples_s, after.samples_s)
    held = interval is None or interval.low <= 0 <= interval.high
    alike = held or as_fast(before, after) or apart(before.p50_s, after.p50_s) <= floor
    if before.samples_s == after.samples_s:
        change = Change.SAME
    elif alike:
        change = Change.NOISE
    else:
        change = Change.BETTER if after.p50_s < before.p50_s else Change.WORSE
    amount = after.p50_s / before.p50_s - 1
    basis = f"{len(before.samples_s)} and {len(after.samples_s)} samples"
    if interval is None:
        basis += f", too few for an interval (at least {LEAST_SAMPLES} wanted)"
    if floor > SAME_MEDIAN:
        basis += f"; an unchanged file differs by {floor:.1%}"
    return Difference(
        figure=Figure.LATENCY,
        a=before.p50_s,
        b=after.p50_s,
        change=change,
        amount=amount,
        interval=interval,
        basis=basis,
        where=where,
        runtime=before.runtime,
        threads=before.threads,
        regression=change is Change.WORSE and exceeds(amount, tolerance.share),
    )


def _compare_reading(
    figure: Figure,
    values: tuple[float, float],
    noise: float,
    tolerance: Tolerance,
    of: Latency,
    where: str,
) -> Difference:
    before, after = values
    if before == after:
        change = Change.SAME
    elif apart(before, after) <= noise:
        change = Change.NOISE
    else:
        change = Change.BETTER if after < before else Change.WORSE
    amount = after / before - 1
    counts = figure is not Figure.LOAD
    return Difference(
        figure=figure,
        a=before,
        b=after,
        change=change,
        amount=amount,
        interval=None,
        basis=f"read once in each run; up to {noise:.0%} counts as noise",
        where=where,
        runtime=of.runtime,
        threads=of.threads,
        regression=counts and change is Change.WORSE and exceeds(amount, tolerance.share),
    )
