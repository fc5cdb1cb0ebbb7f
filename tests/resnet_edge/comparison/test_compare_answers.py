from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.comparison.compare_answers import compare_answers
from resnet_edge.comparison.differences import Change, Figure
from resnet_edge.comparison.tolerance import Tolerance
from resnet_edge.ondevice.parity.interval import accuracy_interval

TOLERANCE = Tolerance()
OPPOSITE = {
    Change.BETTER: Change.WORSE,
    Change.WORSE: Change.BETTER,
    Change.NOISE: Change.NOISE,
    Change.SAME: Change.SAME,
}
ROWS = st.frozensets(st.integers(0, 59), max_size=60)
LIGHT = settings(deadline=None, max_examples=60)


def figures(differences):
    return {difference.figure: difference for difference in differences}


def test_the_same_answers_are_the_same(parity_of):
    parity = parity_of("int8.tflite", frozenset({1, 2}))
    found = figures(compare_answers(parity, parity, TOLERANCE))
    assert {each.change for each in found.values()} == {Change.SAME}
    assert list(found) == [Figure.TOP1, Figure.AGREEMENT, Figure.SQNR]
    assert found[Figure.TOP1].amount == 0
    assert found[Figure.TOP1].interval == accuracy_interval(0, 0, 400, 0.95)


def test_a_paired_interval_of_the_pictures_that_changed(parity_of):
    a = parity_of("int8.tflite", frozenset(range(10)))
    b = parity_of("int8.tflite", frozenset(range(8, 40)))
    found = figures(compare_answers(a, b, TOLERANCE))[Figure.TOP1]
    # 0 to 7 are gained, 10 to 39 lost; 8 and 9 are wrong in both.
    assert found.basis == "paired: 8 gained, 30 lost of 400 pictures"
    assert found.interval == accuracy_interval(8, 30, 400, 0.95)
    assert (found.a, found.b, found.amount) == pytest.approx((0.975, 0.92, -0.055))
    assert (found.change, found.regression) == (Change.WORSE, True)
    tolerant = Tolerance(accuracy=0.06)
    assert not figures(compare_answers(a, b, tolerant))[Figure.TOP1].regression


def test_two_more_wrong_pictures_are_noise(parity_of):
    a = parity_of("int8.tflite", frozenset(range(10)))
    b = parity_of("int8.tflite", frozenset(range(12)))
    found = figures(compare_answers(a, b, Tolerance(accuracy=0)))
    assert (found[Figure.TOP1].change, found[Figure.TOP1].regression) == (Change.NOISE, False)


def test_as_many_others_wrong_is_noise_and_not_the_same(parity_of):
    a, b = (parity_of("int8.tflite", frozenset({row})) for row in (1, 2))
    found = figures(compare_answers(a, b, TOLERANCE))
    assert found[Figure.TOP1].change is Change.NOISE


@LIGHT
@given(ROWS, ROWS, st.floats(0, 80), st.floats(0, 80))
def test_turned_round_better_is_worse(parity_of, wrong_a, wrong_b, sqnr_a, sqnr_b):
    a = parity_of("int8.tflite", wrong_a, images=60, sqnr_db=sqnr_a)
    b = parity_of("int8.tflite", wrong_b, images=60, sqnr_db=sqnr_b)
    there, back = compare_answers(a, b, TOLERANCE), compare_answers(b, a, TOLERANCE)
    for one, other in zip(there, back, strict=True):
        assert other.change is OPPOSITE[one.change]
        assert other.amount == -one.amount
        if one.interval:
            assert (other.interval.low, other.interval.high) == pytest.approx(
                (-one.interval.high, -one.interval.low)
            )


@LIGHT
@given(ROWS)
def test_identical_answers_never_change(parity_of, wrong):
    parity = parity_of("int8.onnx", wrong, images=60)
    for each in compare_answers(parity, parity, Tolerance(0, 0, 0)):
        assert (each.change, each.regression) == (Change.SAME, False)


def test_other_pictures_are_not_paired(parity_of):
    a = parity_of("int8.tflite", frozenset(range(10)))
    b = parity_of("int8.tflite", frozenset(range(10)), pictures="other")
    found = figures(compare_answers(a, b, TOLERANCE))[Figure.TOP1]
    assert found.basis == "not paired: 400 and 400 pictures"
    assert found.change is Change.NOISE
    paired = accuracy_interval(0, 0, 400, 0.95)
    assert found.interval.high > paired.high


def test_a_record_without_pictures_is_not_paired(parity_of):
    a = replace(parity_of("int8.tflite"), answers=None)
    found = figures(compare_answers(a, parity_of("int8.tflite"), TOLERANCE))
    assert found[Figure.TOP1].basis == "not paired: 400 and 400 pictures"


def test_no_pictures_no_figures(parity_of):
    none = replace(parity_of("int8.tflite"), images=0, answers=None, top1=math.nan)
    assert compare_answers(none, parity_of("int8.tflite"), TOLERANCE) == ()


@pytest.mark.parametrize(
    ("before", "after", "change", "regression"),
    [
        (30.0, 30.9, Change.NOISE, False),
        (30.0, 31.5, Change.BETTER, False),
        (30.0, 28.5, Change.WORSE, False),
        (30.0, 26.5, Change.WORSE, True),
        (math.inf, 130.0, Change.NOISE, False),  # above 60 dB it says no more
        (130.0, 58.0, Change.WORSE, False),
        (math.inf, math.inf, Change.SAME, False),
        (math.inf, 50.0, Change.WORSE, True),
        (30.0, math.nan, Change.WORSE, True),
        (math.nan, 30.0, Change.BETTER, False),
    ],
)
def test_sqnr(parity_of, before, after, change, regression):
    a = parity_of("int8.tflite", sqnr_db=before)
    b = parity_of("int8.tflite", sqnr_db=after)
    found = figures(compare_answers(a, b, TOLERANCE))[Figure.SQNR]
    assert (found.change, found.regression) == (change, regression)


def test_answers_that_became_nan_are_a_regression_by_any_tolerance(parity_of):
    a = parity_of("int8.tflite")
    nan = replace(a, top1=math.nan, agreement=math.nan, sqnr_db=math.nan, answers=None)
    found = compare_answers(a, nan, Tolerance(9, 9, 99))
    assert [each.regression for each in found] == [True, True, True]
    assert not any(each.regression for each in compare_answers(nan, a, TOLERANCE))
    assert compare_answers(nan, nan, TOLERANCE) == ()
