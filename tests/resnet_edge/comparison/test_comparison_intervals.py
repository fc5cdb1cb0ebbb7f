from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.comparison.intervals import (
    CONFIDENCE,
    median_bounds,
    ratio_interval,
    share_interval,
)

DRAWS = 300
LIGHT = settings(deadline=None, max_examples=60)
SAMPLES = st.lists(st.floats(1e-4, 10), min_size=7, max_size=200)


def test_bounds_of_the_median_by_hand():
    # Ten stretches of four equal samples: 1, 2, … 10; the second lowest and highest are 2 and 9.
    samples = [float(number) for number in range(1, 11) for _ in range(4)]
    assert median_bounds(samples) == (2, 9)
    assert median_bounds(samples[::-1]) == (2, 9)


def test_fewer_samples_give_their_range_and_very_few_nothing():
    assert median_bounds([3.0, 1.0, 2.0, 5.0, 4.0, 7.0, 6.0]) == (1, 7)
    assert median_bounds([float(number) for number in range(39)]) == (0, 38)
    assert median_bounds([1.0] * 6) is None
    assert ratio_interval([1.0] * 6, [1.0] * 100) is None
    assert ratio_interval([1.0] * 100, [1.0] * 6) is None


def test_the_ratio_lies_between_the_bounds():
    before = [1.0, 1.0, 1.0, 1.5, 2.0, 2.0, 2.0]
    after = [3.0, 3.0, 3.0, 3.5, 4.0, 4.0, 4.0]
    interval = ratio_interval(before, after)
    assert (interval.low, interval.high, interval.confidence) == (3 / 2 - 1, 4 / 1 - 1, 0.95)


@LIGHT
@given(SAMPLES, SAMPLES)
def test_turned_round_the_ratio_is_turned_round(before, after):
    there, back = ratio_interval(before, after), ratio_interval(after, before)
    assert (1 + there.low) * (1 + back.high) == pytest.approx(1)
    assert (1 + there.high) * (1 + back.low) == pytest.approx(1)
    assert there.low <= there.high


@LIGHT
@given(SAMPLES)
def test_a_run_against_itself_holds_no_change(samples):
    interval = ratio_interval(samples, samples)
    assert interval.low <= 0 <= interval.high


def _run(rng: np.random.Generator, count: int, dependence: float) -> list[float]:
    """Latencies of which each resembles the one before: an autoregressive series, median 1."""
    steps = rng.normal(size=count) * math.sqrt(1 - dependence**2)
    series = [float(rng.normal())]
    for step in steps[1:]:
        series.append(dependence * series[-1] + float(step))
    return [math.exp(0.1 * value) for value in series]


@pytest.mark.parametrize(
    ("count", "dependence"), [(64, 0.0), (64, 0.8), (200, 0.0), (200, 0.9), (39, 0.5)]
)
def test_coverage_also_where_samples_depend_on_those_before(count, dependence):
    rng, covered = np.random.default_rng(0), 0
    for _ in range(DRAWS):
        before, after = _run(rng, count, dependence), _run(rng, count, dependence)
        interval = ratio_interval(before, [1.1 * sample for sample in after])
        covered += interval.low <= 0.1 <= interval.high
    assert covered / DRAWS >= CONFIDENCE


def test_coverage_with_a_long_tail():
    rng, covered = np.random.default_rng(1), 0
    for _ in range(DRAWS):
        before, after = (1 + rng.exponential(size=(2, 100))).tolist()
        interval = ratio_interval(before, after)
        covered += interval.low <= 0 <= interval.high
    assert covered / DRAWS >= CONFIDENCE


def test_published_interval_of_two_shares():
    # Newcombe 1998, table II (a): 56/70 - 48/80, method 10
    interval = share_interval((48, 80), (56, 70))
    assert round(interval.low, 4) == 0.0524
    assert round(interval.high, 4) == 0.3339


@LIGHT
@given(st.integers(1, 500), st.integers(1, 500), st.data())
def test_two_shares_turned_round(first, second, data):
    before = data.draw(st.integers(0, first)), first
    after = data.draw(st.integers(0, second)), second
    there, back = share_interval(before, after), share_interval(after, before)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    difference = after[0] / second - before[0] / first
    assert -1 - 1e-9 <= there.low <= difference <= there.high <= 1 + 1e-9


@pytest.mark.parametrize(("shares", "counts"), [((0.9, 0.9), (60, 60)), ((0.97, 0.9), (48, 300))])
def test_coverage_of_two_shares(shares, counts):
    rng, covered, draws = np.random.default_rng(0), 0, 1000
    for _ in range(draws):
        before, after = (int(rng.binomial(n, p)) for n, p in zip(counts, shares, strict=True))
        interval = share_interval((before, counts[0]), (after, counts[1]))
        covered += interval.low <= shares[1] - shares[0] <= interval.high
    assert covered / draws >= 0.93
