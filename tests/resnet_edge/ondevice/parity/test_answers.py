from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_edge.ondevice.parity.answers import (
    count_ones,
    count_only,
    picture_order,
    record_answers,
    record_probabilities,
    unpack_bits,
    unpack_shares,
)
from resnet_edge.ondevice.parity.picture_figures import picture_figures

HASH = "1dce6b732ee85b5fd40f4f680922d0c6aa09040d5f94ae59177d13ff526732bb"


def bits(*values: int) -> np.ndarray:
    return np.array(values, np.bool_)


def test_bits_by_hand():
    order = picture_order(["c", "a", "b"], ["cat"] * 3)
    answers = record_answers(order, bits(1, 0, 1), bits(1, 1, 1), bits(0, 0, 1))
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
        pictures = picture_order([f"{row}" for row in order], ["cat"] * len(order))
        return record_answers(pictures, ours, theirs, ours)

    assert record(rows) == record(range(len(marks)))
    answers = record(rows)
    assert count_ones(answers.right) == sum(mark[0] for mark in marks)
    assert count_only(answers.right, answers.reference_right) == sum(a and not b for a, b in marks)


def test_other_pictures_or_other_labels_have_another_hash():
    first = picture_order(["a"], ["cat"]).sha256
    assert first != picture_order(["b"], ["cat"]).sha256
    assert first != picture_order(["a"], ["dog"]).sha256
    # sha256sum of "a cat\nb dog"
    assert picture_order(["b", "a"], ["dog", "cat"]).sha256 == HASH


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
    order = picture_order(["b", "a"], ["cat"] * 2)
    sides = (picture_figures(side, classes) for side in (artifact, reference))
    kept = record_probabilities(order, *sides)
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
    sides = (picture_figures(side, np.array([0])) for side in (artifact, good))
    assert record_probabilities(picture_order(["a"], ["cat"]), *sides) is None


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=40))
def test_bits_come_back(marks):
    order = picture_order([f"{row:03}" for row in range(len(marks))], ["cat"] * len(marks))
    packed = record_answers(order, *[bits(*marks)] * 3)
    assert unpack_bits(packed.right, len(marks)).tolist() == marks
