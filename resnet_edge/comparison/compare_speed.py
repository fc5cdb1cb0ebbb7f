"""Size, latency, memory and load time of one artifact in two builds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from resnet_edge.comparison.differences import Change, Difference, Figure, apart, exceeds
from resnet_edge.comparison.intervals import LEAST_SAMPLES, ratio_interval
from resnet_edge.comparison.tolerance import Tolerance
from resnet_edge.ondevice.latency.noise import SAME_MEDIAN, as_fast
from resnet_edge.ondevice.measurements import ArtifactBench, Interval, Latency

SAME_LOAD = 0.75
"""Load times this near each other, as a share of the longer one, count as equal. A larger change is
reported and is no regression: each is read once, and two runs of one file differed by 2.6 times.
"""

SAME_MEMORY = 0.05
"""Peaks this near each other, as a share of the larger one, count as equal: each is read once."""

SAME_MEMORY_BYTES = 8_000_000
"""Peaks this near each other count as equal too: the samples of a longer run took 5 MB."""

Floors = Mapping[tuple[Figure, int], float]
"""Noise by figure and thread count, as a share of the larger value."""


def compare_size(a: int, b: int, tolerance: Tolerance) -> Difference:
    """Compare two files' bytes, which are exact.

    Args:
        a: Bytes of the file before, above 0.
        b: Bytes of the file now, above 0.
        tolerance: The loss that is no regression.
    """
    change = Change.SAME if a == b else Change.BETTER if b < a else Change.WORSE
    regression = exceeds(b / a - 1, tolerance.share)
    return Difference(Figure.SIZE, a, b, change, b / a - 1, None, "exact", regression=regression)


def noise_floors(pairs: Sequence[tuple[ArtifactBench, ArtifactBench]]) -> Floors:
    """Return how far the figures of unchanged files lie apart in the two runs.

    A file that is the same to the byte, in the same runtime on the same machine, is as fast as it
    was. So its figures changed because of the machine, and those of any other file may change as
    much for the same reason.

    Args:
        pairs: Artifacts in both runs, measured with the same versions on the same machine.

    Returns:
        The largest distance of each figure, by thread count.
    """
    floors: dict[tuple[Figure, int], float] = {}
    for a, b in pairs:
        if a.sha256 != b.sha256:
            continue
        for before, after in latency_pairs(a, b):
            for figure, one, other in _values(before, after):
                key = figure, before.threads
                floors[key] = max(floors.get(key, 0.0), apart(one, other))
    return floors


def latency_pairs(a: ArtifactBench, b: ArtifactBench) -> tuple[tuple[Latency, Latency], ...]:
    """Return the latencies with the same runtime and thread count."""
    return tuple(
        (before, after)
        for before in a.latencies
        for after in b.latencies
        if (before.runtime, before.threads) == (after.runtime, after.threads)
    )


def _values(before: Latency, after: Latency) -> tuple[tuple[Figure, float, float], ...]:
    return (
        (Figure.LATENCY, before.p50_s, after.p50_s),
        (Figure.MEMORY, before.peak_memory_bytes, after.peak_memory_bytes),
        (Figure.LOAD, before.load_s, after.load_s),
    )


def compare_speed(
    a: ArtifactBench, b: ArtifactBench, floors: Floors, tolerance: Tolerance, where: str = ""
) -> tuple[Difference, ...]:
    """Compare median latency, peak memory and load time, by runtime and thread count.

    Args:
        a: One artifact's latencies before.
        b: The same artifact's latencies now.
        floors: The noise, from ``noise_floors``.
        tolerance: The loss that is no regression.
        where: The machine's name; empty where there is only one.
    """
    return tuple(
        _compare(figure, before, after, floors, tolerance, where)
        for before, after in latency_pairs(a, b)
        for figure, one, other in _values(before, after)
        if min(one, other) > 0  # 0 where a system does not report it
    )


def _compare(
    figure: Figure,
    before: Latency,
    after: Latency,
    floors: Floors,
    tolerance: Tolerance,
    where: str,
) -> Difference:
    """Compare a figure; it changed only if interval, spread and noise floor all say so."""
    values = {name: (one, other) for name, one, other in _values(before, after)}
    one, other = values[figure]
    timed = figure is Figure.LATENCY
    interval = ratio_interval(before.samples_s, after.samples_s) if timed else None
    floor = floors.get((figure, before.threads), 0.0)
    if (before.samples_s == after.samples_s) if timed else (one == other):
        change = Change.SAME
    elif apart(one, other) <= floor or _alike(figure, before, after, interval):
        change = Change.NOISE
    else:
        change = Change.BETTER if other < one else Change.WORSE
    beyond = figure is not Figure.LOAD and exceeds(other / one - 1, tolerance.share)
    return Difference(
        figure=figure,
        a=one,
        b=other,
        change=change,
        amount=other / one - 1,
        interval=interval,
        basis=_basis(figure, before, after, floor),
        where=where,
        runtime=before.runtime,
        threads=before.threads,
        regression=change is Change.WORSE and beyond,
    )


def _alike(figure: Figure, before: Latency, after: Latency, interval: Interval | None) -> bool:
    """True if another run of the same file may differ as much."""
    if figure is Figure.LATENCY:
        held = interval is None or interval.low <= 0 <= interval.high
        return held or as_fast(before, after)
    if figure is Figure.LOAD:
        return apart(before.load_s, after.load_s) <= SAME_LOAD
    one, other = before.peak_memory_bytes, after.peak_memory_bytes
    return apart(one, other) <= SAME_MEMORY or abs(one - other) <= SAME_MEMORY_BYTES


def _basis(figure: Figure, before: Latency, after: Latency, floor: float) -> str:
    words = "read once in each run"
    if figure is Figure.LATENCY:
        counts = len(before.samples_s), len(after.samples_s)
        words = f"{counts[0]} and {counts[1]} samples"
        if min(counts) < LEAST_SAMPLES:
            words += f", too few for an interval (at least {LEAST_SAMPLES} wanted)"
    if floor > SAME_MEDIAN:
        words += f"; an unchanged file differs by {floor:.1%}"
    return words
