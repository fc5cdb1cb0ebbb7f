from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from resnet_edge.ondevice.latency.trend import (
    change_of_median,
    drifts,
    in_groups,
    rank_sum_deviation,
)


def test_the_median_of_the_second_half_against_the_first():
    assert change_of_median([1.0]) == 0
    assert change_of_median([1.0, 1.5]) == 0.5
    assert change_of_median([2.0, 2.0, 9.0, 1.0, 1.0]) == -0.5  # the one in the middle is in none


def test_ranks_by_hand():
    # Ranks of the second: 3 + 4 = 7, by chance 5 with a variance of 4 / 12 * 5
    assert rank_sum_deviation([1, 2], [3, 4]) == pytest.approx(2 / (5 / 3) ** 0.5)
    assert rank_sum_deviation([1, 1], [1, 1]) == 0


@given(
    st.lists(st.integers(0, 9), min_size=4, max_size=40),
    st.lists(st.integers(0, 9), min_size=4, max_size=40),
)
def test_the_deviation_is_mann_whitneys(first, second):
    deviation = rank_sum_deviation(first, second)
    if len(set(first + second)) == 1:
        assert deviation == 0
        return
    expected = stats.mannwhitneyu(
        second, first, method="asymptotic", use_continuity=False, alternative="two-sided"
    )
    assert 2 * stats.norm.sf(abs(deviation)) == pytest.approx(expected.pvalue, abs=1e-9)


def test_a_machine_that_slows_down_drifts():
    generator = np.random.default_rng(0)
    noise = 1 + 0.02 * generator.standard_normal(200)
    assert not drifts(noise.tolist())
    assert drifts((noise * np.linspace(1, 1.2, 200)).tolist())
    assert drifts((noise * np.linspace(1.2, 1, 200)).tolist())
    assert not drifts((noise * np.linspace(1, 1.04, 200)).tolist())  # certain, but small


def test_a_few_stray_or_few_samples_are_no_drift():
    assert not drifts([1.0] * 100 + [1.0] * 90 + [5.0] * 10)
    assert not drifts([1.0, 2.0])
    assert not drifts([1.0])


def test_slow_queries_in_groups():
    assert in_groups([1.0] * 90 + [2.0] * 10, 1.5)
    assert in_groups(([1.0] * 18 + [2.0] * 2) * 20, 1.5)  # always two in a row
    assert not in_groups(([1.0] * 9 + [2.0]) * 20, 1.5)  # never
    assert not in_groups([1.0] * 100, 1.5)
    assert not in_groups([2.0], 1.5)
    assert not in_groups([1.0, 2.0], 1.5)


def test_independent_queries_are_in_no_groups():
    generator = np.random.default_rng(0)
    runs = generator.standard_normal((300, 200))
    assert sum(in_groups(run.tolist(), float(np.quantile(run, 0.9))) for run in runs) <= 3
