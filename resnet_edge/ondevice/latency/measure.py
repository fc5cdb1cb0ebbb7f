"""Measures the latency of single queries, one after another (MLPerf's SingleStream)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet_edge.errors import InferenceError
from resnet_edge.ondevice.latency.cpu_state import MeasuringConditions
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.measurements import Latency, Provider

WINDOW = 5
"""Queries whose median is compared with the median of as many before them."""

STABLE = 0.05
"""Largest relative change of that median in a warm-up that is called stable."""

JUMP_RATIO = 100
"""A query longer than this many medians, and than ``JUMP_S``, is a jump of the clock or a stopped
process, and no latency."""

JUMP_S = 10.0

GAP_S = 1.0
"""Longest time that may pass between two queries, where nothing but a list is written."""


@dataclass(frozen=True)
class Timing:
    """The measured times of one artifact."""

    first_s: float
    """The first query, before any warm-up."""
    warmup: int
    """Queries between the first one and the samples."""
    settled: bool
    """True if the warm-up had become stable when it ended."""
    samples_s: tuple[float, ...]

    def latency(
        self,
        runtime: str,
        threads: int,
        load_s: float,
        peak_memory_bytes: int,
        provider: Provider | None = None,
        conditions: MeasuringConditions | None = None,
    ) -> Latency:
        """Complete the record of a measurement."""
        return Latency(
            runtime=runtime,
            threads=threads,
            samples_s=self.samples_s,
            first_s=self.first_s,
            load_s=load_s,
            peak_memory_bytes=peak_memory_bytes,
            warmup=self.warmup,
            settled=self.settled,
            provider=provider,
            conditions=conditions,
        )


def measure(
    infer: Callable[[npt.NDArray[np.generic]], object],
    sample: npt.NDArray[np.generic],
    spec: LatencySpec,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Timing:
    """Time single queries, each begun when the one before has ended.

    First comes one query by itself, then the warm-up: until the median of the last ``WINDOW``
    queries is within ``STABLE`` of the median of as many before them, at most for
    ``spec.max_warmup_s``. Then come the samples, until both ``spec.min_seconds`` of inference and
    ``spec.min_queries`` are reached.

    Args:
        infer: Answers one query. It must return only when the answer is there.
        sample: Given to every query.
        spec: The duration of the measurement.
        clock: Nanoseconds of a clock that only goes forward.

    Returns:
        All samples, in seconds and in order.

    Raises:
        InferenceError: The clock stood still, went backwards or jumped.
    """
    durations = _durations(infer, sample, clock)
    first = next(durations)
    warmup, settled = _warm_up(durations, spec.max_warmup_s)
    samples: list[float] = []
    total = 0.0
    while total < spec.min_seconds or len(samples) < spec.min_queries:
        samples.append(next(durations))
        total += samples[-1]
    _refuse_jumps([*warmup, *samples])
    return Timing(first, len(warmup), settled, tuple(samples))


def _durations(
    infer: Callable[[npt.NDArray[np.generic]], object],
    sample: npt.NDArray[np.generic],
    clock: Callable[[], int],
) -> Iterator[float]:
    last = clock()
    while True:
        start = clock()
        infer(sample)
        end = clock()
        if not last <= start < end:
            raise InferenceError(
                f"the clock went from {last} to {start} to {end} ns around a query; "
                "expected it to go forward; measure on a machine with a sound clock"
            )
        if start - last > GAP_S * 1e9:
            raise InferenceError(
                f"{(start - last) / 1e9:.3g} s passed between two queries; expected almost none: "
                "the clock jumped or the process was stopped; measure again"
            )
        last = end
        yield (end - start) / 1e9


def _warm_up(durations: Iterator[float], max_s: float) -> tuple[list[float], bool]:
    seen: list[float] = []
    total = 0.0
    while total < max_s:
        seen.append(next(durations))
        total += seen[-1]
        if len(seen) >= 2 * WINDOW:
            before = statistics.median(seen[-2 * WINDOW : -WINDOW])
            now = statistics.median(seen[-WINDOW:])
            if abs(now - before) <= STABLE * now:
                return seen, True
    return seen, False


def _refuse_jumps(durations: list[float]) -> None:
    longest, median = max(durations), statistics.median(durations)
    if longest > JUMP_S and longest > JUMP_RATIO * median:
        raise InferenceError(
            f"one query took {longest:.3g} s where the median is {median:.3g} s: "
            "the clock jumped or the process was stopped; measure again"
        )
