from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest

from resnet_edge.errors import InferenceError, UsageError
from resnet_edge.ondevice.latency import measure as latency
from resnet_edge.ondevice.latency.measure import measure
from resnet_edge.ondevice.latency.spec import MLPERF, LatencySpec

SAMPLE = np.zeros(3, np.uint8)
MILLISECOND = 1_000_000


class FakeMachine:
    """A model whose queries take given nanoseconds, and the clock that sees them."""

    def __init__(self, durations: Iterable[int]) -> None:
        self.durations = iter(durations)
        self.now = 5
        self.samples: list[np.ndarray] = []

    def infer(self, sample: np.ndarray) -> None:
        self.samples.append(sample)
        self.now += next(self.durations)

    def measure(self, spec: LatencySpec) -> latency.Timing:
        return measure(self.infer, SAMPLE, spec, lambda: self.now)


def _steady(milliseconds: float = 10.0) -> Iterable[int]:
    while True:
        yield round(milliseconds * MILLISECOND)


def test_the_first_query_stands_alone_and_the_warmup_is_left_out():
    def durations():
        yield 500 * MILLISECOND
        for warmup in (90, 80, 70, 60, 50, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10):
            yield warmup * MILLISECOND
        while True:
            yield 20 * MILLISECOND

    timing = FakeMachine(durations()).measure(LatencySpec(0.1, 3))
    assert timing.first_s == 0.5
    # Five before and the last five after 13: 60, 50, 10, 10, 10 and 10 five times: medians 10, 10
    assert (timing.warmup, timing.settled) == (13, True)
    # Seven samples: two of 10 ms and four of 20 ms are 100 ms, by rounding a hair more or less
    assert timing.samples_s[:6] == (0.01, 0.01, 0.02, 0.02, 0.02, 0.02)
    assert sum(timing.samples_s) >= 0.1


def test_both_the_seconds_and_the_queries_are_reached():
    assert len(FakeMachine(_steady()).measure(LatencySpec(1.0, 5)).samples_s) == 100
    assert len(FakeMachine(_steady()).measure(LatencySpec(0.01, 64)).samples_s) == 64
    assert len(FakeMachine(_steady()).measure(LatencySpec(0, 1)).samples_s) == 1


def test_warmup_needs_two_windows_of_a_steady_machine():
    timing = FakeMachine(_steady()).measure(LatencySpec(0, 1))
    assert (timing.warmup, timing.settled) == (2 * latency.WINDOW, True)


def test_warmup_that_never_settles_is_bounded_and_said():
    growing = (round(10 * MILLISECOND * 1.1**i) for i in range(100))
    timing = FakeMachine(growing).measure(LatencySpec(0, 1, max_warmup_s=0.5))
    assert not timing.settled
    # After the first query: 11, 12.1, … ms; 18 of them are 501.6 ms
    assert timing.warmup == 18


def test_warmup_can_be_left_out():
    timing = FakeMachine(_steady()).measure(LatencySpec(0, 1, max_warmup_s=0))
    assert (timing.warmup, timing.settled) == (0, False)


def test_every_query_gets_the_sample():
    machine = FakeMachine(_steady())
    machine.measure(LatencySpec(0, 4))
    assert len(machine.samples) == 1 + 10 + 4
    assert all(sample is SAMPLE for sample in machine.samples)


def test_the_record_takes_all_over():
    timing = FakeMachine(_steady()).measure(LatencySpec(0, 2))
    record = timing.latency("LiteRT", 2, load_s=0.3, peak_memory_bytes=10**8)
    assert (record.runtime, record.threads, record.load_s) == ("LiteRT", 2, 0.3)
    assert (record.first_s, record.warmup, record.settled) == (0.01, 10, True)
    assert (record.samples_s, record.peak_memory_bytes) == ((0.01, 0.01), 10**8)
    assert (record.p50_s, record.spread, record.noisy) == (0.01, 0, False)


def test_a_clock_that_stands_still_is_refused():
    with pytest.raises(InferenceError, match="the clock went from 5 to 5 to 5 ns around a query"):
        FakeMachine([0]).measure(LatencySpec(0, 1))


def test_a_clock_that_goes_backwards_is_refused():
    with pytest.raises(InferenceError, match="expected it to go forward; measure on a machine"):
        FakeMachine([10, 10, -3]).measure(LatencySpec(0, 1))


def test_a_clock_that_goes_backwards_between_queries_is_refused():
    readings = iter([100, 110, 120, 90, 130])
    with pytest.raises(InferenceError, match="the clock went from 120 to 90 to 130 ns"):
        measure(lambda _: None, SAMPLE, LatencySpec(0, 1), lambda: next(readings))


def test_a_clock_that_jumps_between_queries_is_refused():
    readings = iter([0, 10, 20, 3_600_000_000_020, 3_600_000_000_030])
    with pytest.raises(InferenceError, match=r"3.6e\+03 s passed between two queries; expected"):
        measure(lambda _: None, SAMPLE, LatencySpec(0, 1), lambda: next(readings))


def test_a_clock_that_jumps_within_a_query_is_refused():
    durations = [10 * MILLISECOND] * 20 + [3_600_000 * MILLISECOND]
    with pytest.raises(
        InferenceError, match=r"one query took 3.6e\+03 s where the median is 0.01 s"
    ):
        FakeMachine(durations).measure(LatencySpec(10, 1))


def test_an_outlier_is_no_jump():
    durations = [10 * MILLISECOND] * 20 + [900 * MILLISECOND] * 2
    timing = FakeMachine(durations).measure(LatencySpec(1.5, 1))
    assert max(timing.samples_s) == 0.9


def test_an_error_of_the_runtime_is_passed_on():
    def infer(_: np.ndarray) -> None:
        raise InferenceError("the runtime refuses")

    with pytest.raises(InferenceError, match="the runtime refuses"):
        measure(infer, SAMPLE, LatencySpec(0, 1))


def test_the_real_clock_goes_forward():
    timing = measure(lambda _: math.factorial(500), SAMPLE, LatencySpec(0, 5))
    assert len(timing.samples_s) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_seconds": -1}, "--min-seconds: got -1; expected a finite number, 0 or above"),
        ({"min_seconds": math.nan}, "--min-seconds: got nan; expected a finite number"),
        ({"min_seconds": math.inf}, "--min-seconds: got inf; expected a finite number"),
        ({"min_queries": 0}, "--min-queries: got 0; expected at least 1"),
        ({"max_warmup_s": math.inf}, "max_warmup_s: got inf; expected a finite number, 0 or above"),
    ],
)
def test_specs_are_validated(arguments, message):
    with pytest.raises(UsageError, match=message):
        LatencySpec(**arguments)


def test_defaults_are_mlperf_like():
    assert LatencySpec() == LatencySpec(min_seconds=10, min_queries=64, max_warmup_s=10)


def test_mlperf_asks_at_least_its_own_time_and_queries():
    assert (MLPERF.min_seconds, MLPERF.min_queries) == (600, 1024)
    longer = LatencySpec(min_seconds=1000, min_queries=64, max_warmup_s=3)
    assert longer.at_least(MLPERF) == LatencySpec(1000, 1024, 3)
