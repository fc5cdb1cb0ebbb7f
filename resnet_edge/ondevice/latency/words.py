"""Latencies in words, for sentences."""

from __future__ import annotations

from collections.abc import Sequence

from resnet_edge import units
from resnet_edge.ondevice.measurements import Latency


def duration(seconds: float) -> str:
    """Return a time with three significant digits and its unit, for instance ``29.5 ms``."""
    return f"{units.milliseconds(seconds)} ms"


def with_threads(latency: Latency) -> str:
    """Return the number of threads, for instance ``with 2 threads``."""
    return f"with {units.plural(latency.threads, 'thread')}"


def threads_words(latency: Latency) -> str:
    """Return what tables show in brackets: ``2``, or ``2; means of 5 queries``.

    A percentile of means is not one of single queries, so it must not look like one.
    """
    return count_words(latency.threads, latency.queries_per_sample)


def count_words(threads: int, queries_per_sample: int) -> str:
    """Return the same as ``threads_words`` of the two numbers."""
    means = "" if queries_per_sample == 1 else f"; means of {queries_per_sample} queries"
    return f"{threads}{means}"


def times(slow: Latency, quick: Latency) -> str:
    """Return the ratio of two medians, for instance ``2.07 times``."""
    return f"{slow.p50_s / quick.p50_s:.2f} times"


def name_measurements(measured: Sequence[tuple[str, int]]) -> str:
    """Name files and thread counts, for instance ``a.onnx (1, 2 threads), b.onnx (1 thread)``.

    Args:
        measured: Name and thread count; a pair that comes twice, in two runtimes, is named once.
    """
    counts: dict[str, list[int]] = {}
    for name, threads in dict.fromkeys(measured):
        counts.setdefault(name, []).append(threads)
    return ", ".join(
        f"{name} ({', '.join(map(str, threads))} thread{'' if threads == [1] else 's'})"
        for name, threads in counts.items()
    )
