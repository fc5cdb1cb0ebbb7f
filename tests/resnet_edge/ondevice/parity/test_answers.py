from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.ondevice.parity.answers import (
    count_ones,
    count_only,
    record_answers,
    record_probabilities,
    unpack_bits,
    unpack_shares,
)


def bits(*values: int) -> np.ndarray:
    return np.array(values, np.bool_)


def test_bits_by_hand():
    answers = record_answers(
        ["c", "a", "b"], ["cat"] * 3, bits(1, 0, 1), bits(1, 1, 1), bits(0, 0, 1)
    )
    # In the order a, b, c: 011, 111, 010, filled up to a byte.
    assert (answers.right, answers.reference_right, answers.agrees) == ("60", "e0", "40")
    assert (count_ones(answers.right), count_ones("")) == (2, 0)
    assert count_only(answers.reference_right, answers.right) == 1
    assert count_only(answers.right, answers.reference_right) == 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40), st.randoms())
def test_the_order_of_the_pictures_does_not_matter(marks, random):
    rows = list(range(len(marks)))
    random.shuffle(rows)

    def record(order):
        ours, theirs = (bits(*(marks[row][side] for row in order)) for side in (0, 1))
        return record_answers([f"{row}" for row in order], ["cat"] * len(order), ours, theirs, ours)

    assert record(rows) == record(range(len(marks)))
    answers = record(rows)
    assert count_ones(answers.right) == sum(mark[0] for mark in marks)
    assert count_only(answers.right, answers.reference_right) == sum(a and not b for a, b in marks)


def test_other_pictures_or_other_labels_have_another_hash():
    one = bits(1)
    first = record_answers(["a"], ["cat"], one, one, one).pictures_sha256
    assert first != record_answers(["b"], ["cat"], one, one, one).pictures_sha256
    assert first != record_answers(["a"], ["dog"], one, one, one).pictures_sha256


@pytest.mark.parametrize("field", ["right", "reference_right", "agrees"])
@pytest.mark.parametrize("value", ["f", "FF", "xx", "-1"])
def test_what_is_no_bits_is_refused(field, value):
    from resnet_edge.ondevice.measurements import PictureAnswers

    good = {"pictures_sha256": "ab", "right": "00", "reference_right": "00", "agrees": "00"}
    with pytest.raises(
        ValueError, match=f"{field}: got '{value}'; expected whole bytes in hexadec"
    ):
        PictureAnswers(**{**good, field: value})


def test_probabilities_by_hand():
    artifact = np.array([[0.75, 0.25], [0.0, 1.0]])
    reference = np.array([[0.5, 0.5], [0.125, 0.875]])
    classes = np.array([1, 1])
    kept = record_probabilities(["b", "a"], ["cat"] * 2, classes, artifact, reference)
    # In the order a, b: 1 and 0.75 in steps of 1 / 65535, the latter 49151.25.
    assert kept.confidence == "ffffbfff"
    assert unpack_shares(kept.reference_confidence) == pytest.approx([0.875, 0.5], abs=1e-5)
    assert unpack_shares(kept.reference_margin) == pytest.approx([0.75, 0], abs=1e-5)
    assert (kept.top5, kept.reference_top5) == ("c0", "c0")
    assert unpack_bits(kept.top5, 2).tolist() == [True, True]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.5, 7.0])
def test_what_is_no_probability_is_not_kept(bad):
    artifact = np.array([[bad, bad]])
    good = np.array([[0.5, 0.5]])
    assert record_probabilities(["a"], ["cat"], np.array([0]), artifact, good) is None


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=40))
def test_bits_come_back(marks):
    packed = record_answers(
        [f"{row:03}" for row in range(len(marks))], ["cat"] * len(marks), *[bits(*marks)] * 3
    )
    assert unpack_bits(packed.right, len(marks)).tolist() == marks
