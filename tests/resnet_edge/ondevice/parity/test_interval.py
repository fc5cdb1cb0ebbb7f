from __future__ import annotations

import math
from statistics import NormalDist

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from resnet_edge.ondevice.parity.interval import accuracy_interval, images_needed

LIGHT = settings(deadline=None, max_examples=60)


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, int, int]:
    pairs = draw(st.integers(1, 2000))
    gained = draw(st.integers(0, pairs))
    return gained, draw(st.integers(0, pairs - gained)), pairs


@pytest.mark.parametrize(
    ("gained", "lost", "pairs", "confidence", "low", "high", "digits"),
    [
        # Fagerland, Lydersen, Laake: Statistics in Medicine 33 (2014), table V (airway reactivity)
        (1, 7, 21, 0.95, -0.517, -0.026, 3),
        # R's PropCIs 0.3, scoreci.mp(25, 28, 618, 0.90), whose difference is second minus first
        (28, 25, 618, 0.90, -0.0148, 0.0247, 4),
    ],
)
def test_published_values(gained, lost, pairs, confidence, low, high, digits):
    interval = accuracy_interval(gained, lost, pairs, confidence)
    assert round(interval.low, digits) == low
    assert round(interval.high, digits) == high
    assert interval.confidence == confidence


@pytest.mark.parametrize("pairs", [1, 10, 540, 50_000])
@pytest.mark.parametrize("confidence", [0.80, 0.90, 0.99])
def test_no_discordant_pair_has_the_closed_form(pairs, confidence):
    squared = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    interval = accuracy_interval(0, 0, pairs, confidence)
    assert interval.high == pytest.approx(squared / (pairs + squared), rel=1e-9)
    assert interval.low == -interval.high


def test_all_gained_and_all_lost_reach_the_ends():
    assert accuracy_interval(7, 0, 7).high == 1
    assert accuracy_interval(0, 7, 7).low == -1
    # |T| = z at difference d: n (1 - d) = z sqrt(n (1 - d) d + ...) has the root n / (n + z^2)
    squared = NormalDist().inv_cdf(0.95) ** 2
    assert accuracy_interval(7, 0, 7).low > 0
    assert accuracy_interval(7, 0, 7).low < 7 / (7 + squared)


@LIGHT
@given(tables(), st.floats(0.5, 0.99))
def test_symmetric_bounded_and_around_the_estimate(table, confidence):
    gained, lost, pairs = table
    interval = accuracy_interval(gained, lost, pairs, confidence)
    mirrored = accuracy_interval(lost, gained, pairs, confidence)
    assert (mirrored.low, mirrored.high) == (-interval.high, -interval.low)
    assert -1 <= interval.low <= (gained - lost) / pairs <= interval.high <= 1
    assert interval.low < interval.high


@LIGHT
@given(tables(), st.floats(0.5, 0.9))
def test_wider_with_confidence_and_narrower_with_pictures(table, confidence):
    gained, lost, pairs = table
    interval = accuracy_interval(gained, lost, pairs, confidence)
    surer = accuracy_interval(gained, lost, pairs, confidence + 0.05)
    more = accuracy_interval(4 * gained, 4 * lost, 4 * pairs, confidence)
    assert surer.low <= interval.low <= more.low + 1e-12
    assert more.high - 1e-12 <= interval.high <= surer.high


@LIGHT
@given(tables())
def test_bounds_invert_the_score_test_with_the_likelihood_maximised_by_search(table):
    gained, lost, pairs = table
    bound = accuracy_interval(gained, lost, pairs, 0.9).high
    assume(bound < 0.999)
    share = _most_likely_lost(gained, lost, pairs, bound)
    variance = pairs * (2 * share + bound * (1 - bound))
    statistic = (gained - lost - pairs * bound) / math.sqrt(variance)
    assert statistic == pytest.approx(-NormalDist().inv_cdf(0.95), rel=1e-3)


def _most_likely_lost(gained, lost, pairs, difference):
    """Maximise gained ln(q + d) + lost ln q + rest ln(1 - 2 q - d) over q by golden section."""
    rest = pairs - gained - lost

    def likelihood(share):
        terms = [(gained, share + difference), (lost, share), (rest, 1 - 2 * share - difference)]
        return sum(count * math.log(max(value, 1e-300)) for count, value in terms if count)

    low, high = max(0.0, -difference), (1 - difference) / 2
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(100):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if likelihood(left) < likelihood(right):
            low = left
        else:
            high = right
    return (low + high) / 2


@pytest.mark.parametrize(("gain", "loss"), [(0.02, 0.02), (0.05, 0.10), (0.0, 0.05), (0.2, 0.1)])
def test_exact_coverage_is_near_the_nominal(gain, loss):
    pairs, covered = 60, 0.0
    for gained in range(pairs + 1):
        for lost in range(pairs - gained + 1):
            rest = pairs - gained - lost
            ways = math.comb(pairs, gained) * math.comb(pairs - gained, lost)
            chance = ways * gain**gained * loss**lost * (1 - gain - loss) ** rest
            if chance < 1e-9:
                continue
            interval = accuracy_interval(gained, lost, pairs, 0.90)
            covered += chance * (interval.low <= gain - loss <= interval.high)
    assert 0.87 <= covered <= 0.98


@pytest.mark.parametrize(
    ("gained", "lost", "pairs"), [(-1, 0, 5), (3, 3, 5), (0, 0, 0), (math.nan, 0, 5)]
)
def test_impossible_counts_are_refused(gained, lost, pairs):
    with pytest.raises(ValueError, match=r"gained and .* lost of .* pairs; expected counts"):
        accuracy_interval(gained, lost, pairs)


@pytest.mark.parametrize("confidence", [0, 1, 90, math.nan])
def test_impossible_confidence_is_refused(confidence):
    with pytest.raises(ValueError, match=f"confidence {confidence}; expected a number between 0"):
        accuracy_interval(1, 1, 9, confidence)


def test_images_needed_without_any_difference_by_hand():
    # z^2 / (N + z^2) < 0.01 <=> N > 99 z^2 = 267.85 with z = 1.64485: 268, of which 100 are there
    assert images_needed(0, 0, 100, -0.01) == 168


@LIGHT
@given(tables(), st.floats(0.01, 0.99))
def test_images_needed_decides_and_one_less_does_not(table, place):
    gained, lost, pairs = table
    start = accuracy_interval(gained, lost, pairs)
    margin = start.low + place * (start.high - start.low)
    more = images_needed(gained, lost, pairs, margin)
    if more is None:
        assert abs((gained - lost) / pairs - margin) < 0.01
        return
    assert more >= 1
    for total, decided in ((pairs + more, True), (pairs + more - 1, False)):
        scale = total / pairs
        interval = accuracy_interval(gained * scale, lost * scale, total)
        assert (interval.low > margin or interval.high < margin) == decided


def test_images_needed_gives_up_where_the_rates_lie_on_the_margin():
    assert images_needed(0, 1, 100, -0.01) is None
    assert images_needed(0, 0, 100, 0.0) is None
