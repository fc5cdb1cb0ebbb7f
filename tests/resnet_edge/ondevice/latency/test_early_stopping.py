from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from resnet_edge.ondevice.latency.early_stopping import (
    allowed_over,
    least_queries,
    probability_at_most,
    queries_to_decide,
    upper_bound,
    within_limit,
)


def test_the_tail_by_hand():
    # One of two over, each with probability 0.1: 0.81 none, 0.18 one, 0.01 both
    assert probability_at_most(-1, 2, 0.9) == 0
    assert probability_at_most(0, 2, 0.9) == pytest.approx(0.81)
    assert probability_at_most(1, 2, 0.9) == pytest.approx(0.99)
    assert probability_at_most(2, 2, 0.9) == 1
    # 0.9^64 + 64 0.1 0.9^63, and with one query less
    assert probability_at_most(1, 64, 0.9) == pytest.approx(0.9**64 + 6.4 * 0.9**63)
    assert probability_at_most(1, 64, 0.9) < 0.01 < probability_at_most(1, 63, 0.9)


@given(
    queries=st.integers(1, 100_000), part=st.floats(0, 1), share=st.sampled_from([0.5, 0.9, 0.99])
)
def test_the_tail_is_the_binomial_distributions(queries, part, share):
    over = int(part * queries)
    expected = stats.binom.cdf(over, queries, 1 - share)
    assert probability_at_most(over, queries, share) == pytest.approx(expected, rel=1e-7, abs=1e-12)


def test_the_least_queries_are_mlperfs():
    # loadgen: 63 + 1 for the 90th percentile, 661 + 1 for the 99th
    assert [least_queries(share) for share in (0.90, 0.95, 0.97, 0.99)] == [64, 130, 219, 662]
    # loadgen's minimum without any query over the limit, for the 99th percentile
    assert probability_at_most(0, 459, 0.99) < 0.01 < probability_at_most(0, 458, 0.99)


@pytest.mark.parametrize(
    ("queries", "allowed"),
    # By scipy.stats.binom.cdf(t, n, 0.1) <= 0.01, the largest t
    [(0, 0), (1, 0), (63, 0), (64, 1), (80, 1), (81, 2), (96, 2), (97, 3), (1024, 80)],
)
def test_so_many_may_be_over(queries, allowed):
    assert allowed_over(queries) == allowed


@given(queries=st.integers(64, 200_000))
def test_one_more_would_be_too_many(queries):
    allowed = allowed_over(queries)
    assert stats.binom.cdf(allowed, queries, 0.1) <= 0.01 + 1e-9
    assert stats.binom.cdf(allowed + 1, queries, 0.1) > 0.01 - 1e-9


def test_the_bound_is_the_slowest_that_is_left():
    assert upper_bound(range(1, 64)) is None
    assert upper_bound(range(1, 65)) == 64  # t = 1: none is discarded
    assert upper_bound(range(1, 98)) == 95  # t = 3: 97 and 96 are discarded
    assert upper_bound([*range(1, 98)][::-1]) == 95
    assert upper_bound(range(1, 662), 0.99) is None
    assert upper_bound(range(1, 663), 0.99) == 662


@given(st.lists(st.floats(0.001, 1), min_size=64, max_size=300))
def test_the_bound_is_no_less_than_the_percentile(samples):
    ordered = sorted(samples)
    assert upper_bound(samples) >= ordered[math.ceil(0.9 * len(samples)) - 1]


@pytest.mark.parametrize("count", [64, 100, 1000])
def test_the_bound_covers_the_true_percentile(count):
    generator = np.random.default_rng(0)
    truth = stats.lognorm.ppf(0.9, 0.3)
    runs = np.exp(0.3 * generator.standard_normal((2000, count)))
    covered = sum(upper_bound(run.tolist()) >= truth for run in runs)
    assert covered / len(runs) >= 0.99


def test_a_limit_is_held_exceeded_or_open():
    assert within_limit(0, 64) is True
    assert within_limit(1, 64) is None
    # 16 or more of 64: 0.0005 by chance; 12 or more: 0.027
    assert within_limit(16, 64) is False
    assert within_limit(12, 64) is None
    # Two of two by chance: 0.01; one of one: 0.1
    assert within_limit(3, 3) is False
    assert within_limit(1, 1) is None
    assert within_limit(0, 63) is None


@given(queries=st.integers(1, 3000), part=st.floats(0, 1))
def test_a_limit_is_held_just_where_the_bound_holds_it(queries, part):
    over = int(part * queries)
    samples = [1.0] * (queries - over) + [3.0] * over
    bound = upper_bound(samples)
    assert (within_limit(over, queries) is True) == (bound is not None and bound <= 2)


def test_queries_that_would_decide():
    assert queries_to_decide(0, 3) == 64
    assert queries_to_decide(1, 10) is None  # just a tenth
    needed = queries_to_decide(5, 64)
    assert needed is not None
    assert within_limit(math.ceil(needed * 5 / 64), needed) is True
    needed = queries_to_decide(8, 64)
    assert needed is not None
    assert within_limit(math.floor(needed * 8 / 64), needed) is False
