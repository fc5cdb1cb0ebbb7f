"""ECE by hand and by loops, and what has to hold of its interval for any answers."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.ondevice.parity.calibration_error import (
    Answered,
    compare_calibration,
    count_bins,
)

LIGHT = settings(deadline=None, max_examples=60)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Answered, Answered]:
    """Two sides on the same pictures; a side's confidences come from few values, so some tie."""
    count = draw(st.integers(2, 60))

    def side() -> Answered:
        shares = st.lists(st.integers(0, 12), min_size=count, max_size=count)
        marks = st.lists(st.booleans(), min_size=count, max_size=count)
        return answered([value / 12 for value in draw(shares)], draw(marks))

    return side(), side()


def answered(confidence, right) -> Answered:
    return Answered(np.array(confidence, float), np.array(right, float))


def test_by_hand():
    # Ten pictures in five bins of two, by confidence.
    sure = [0.2, 0.4, 0.5, 0.5, 0.6, 0.6, 0.7, 0.9, 1.0, 1.0]
    right = [0, 1, 1, 0, 1, 1, 1, 1, 1, 0]
    side = answered(sure, right)
    found = compare_calibration(side, side, 0.95).artifact
    assert [b.pictures for b in found.bins] == [2] * 5
    assert [b.confidence for b in found.bins] == pytest.approx([0.3, 0.5, 0.6, 0.8, 1.0])
    assert [b.accuracy for b in found.bins] == [0.5, 0.5, 1, 1, 0.5]
    # Gaps -0.2, 0, -0.4, -0.2, +0.5, each of two pictures in ten.
    assert found.ece == pytest.approx((0.2 + 0 + 0.4 + 0.2 + 0.5) / 5)
    assert found.mean_confidence == pytest.approx(0.64)
    # sqrt(2 / pi p (1 - p) / 2) in each bin; that with confidence 1 has no chance.
    chance = [0.3 * 0.7, 0.5 * 0.5, 0.6 * 0.4, 0.8 * 0.2, 0.0]
    floor = sum(math.sqrt(2 / math.pi * each / 2) for each in chance) / 5
    assert found.noise_floor == pytest.approx(floor)


def test_a_shift_of_every_confidence_is_the_increase():
    # Always too sure: each bin's gap is positive, so the ECE is mean confidence minus accuracy.
    reference = answered([0.8] * 50 + [0.9] * 50, [1] * 35 + [0] * 15 + [1] * 40 + [0] * 10)
    artifact = answered(reference.confidence + 0.05, reference.right)
    found = compare_calibration(artifact, reference, 0.90)
    assert found.reference.ece == pytest.approx(0.10)
    assert (found.increase, found.confidence_change) == pytest.approx((0.05, 0.05))
    # Nothing varies from picture to picture, so what is left is the score interval's width.
    squared = NormalDist().inv_cdf(0.95) ** 2
    half = squared / (100 + squared)
    assert (found.interval.low, found.interval.high) == pytest.approx((0.05 - half, 0.05 + half))
    assert found.confidence_interval.low == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("pictures", "bins"), [(1, 1), (4, 4), (5, 5), (1199, 5), (1200, 6), (2000, 10), (50_000, 10)]
)
def test_bins(pictures, bins):
    assert count_bins(pictures) == bins


@LIGHT
@given(pairs())
def test_the_definition_by_loops(sides):
    found = compare_calibration(*sides, 0.95)
    for side, calibration in zip(sides, (found.artifact, found.reference), strict=True):
        assert sum(b.pictures for b in calibration.bins) == len(side.right)
        loops = sum(b.pictures * abs(b.confidence - b.accuracy) for b in calibration.bins)
        assert calibration.ece == pytest.approx(loops / len(side.right))
        assert 0 <= calibration.ece <= 1
        assert calibration.mean_confidence == pytest.approx(side.confidence.mean())
    assert found.increase == pytest.approx(found.artifact.ece - found.reference.ece)


@LIGHT
@given(pairs(), st.randoms())
def test_the_order_of_the_pictures_does_not_matter(sides, random):
    order = list(range(len(sides[0].right)))
    random.shuffle(order)
    moved = [Answered(side.confidence[order], side.right[order]) for side in sides]
    first, second = compare_calibration(*sides, 0.9), compare_calibration(*moved, 0.9)
    assert second.increase == pytest.approx(first.increase)
    assert second.interval.low == pytest.approx(first.interval.low)
    assert second.interval.high == pytest.approx(first.interval.high)


@LIGHT
@given(pairs(), st.floats(0.5, 0.9))
def test_the_interval_is_around_the_increase_and_mirrors(sides, confidence):
    found = compare_calibration(*sides, confidence)
    other = compare_calibration(sides[1], sides[0], confidence)
    assert found.interval.low <= found.increase <= found.interval.high
    assert found.confidence_interval.low <= found.confidence_change
    assert other.increase == pytest.approx(-found.increase)
    assert other.confidence_change == pytest.approx(-found.confidence_change)


@LIGHT
@given(pairs(), st.floats(0.5, 0.99))
def test_a_side_is_as_good_as_itself(sides, confidence):
    side, count = sides[0], len(sides[0].right)
    found = compare_calibration(side, side, confidence)
    squared = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    assert (found.increase, found.confidence_change) == (0, 0)
    assert found.interval.high == pytest.approx(squared / (count + squared))
    assert found.interval.low == pytest.approx(-found.interval.high)


def test_the_interval_covers():
    """The true increase lies below the upper bound and above the lower one as often as promised."""
    rng, missed, runs = np.random.default_rng(3), [0, 0], 200
    for _ in range(runs):
        truth = rng.uniform(0.3, 1.0, 800)  # the reference is as right as it is sure
        right = (rng.uniform(size=800) < truth).astype(float)
        reference = Answered(truth, right)
        artifact = Answered(np.minimum(truth + 0.1 * (1 - truth), 1), right)
        found = compare_calibration(artifact, reference, 0.90)
        missed[0] += found.interval.low > 0.035  # the mean of 0.1 (1 - truth)
        missed[1] += found.interval.high < 0.035
    assert max(missed) <= 0.08 * runs
