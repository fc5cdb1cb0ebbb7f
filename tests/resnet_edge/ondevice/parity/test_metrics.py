from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from resnet_edge.ondevice import row_blocks
from resnet_edge.ondevice.parity import metrics

LIGHT = settings(deadline=None, max_examples=50)
NAMES = ("cat", "dog", "eel")

# Four pictures, three classes: clear, clear, a tie of the first two, and a tie of all three.
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.4, 0.4, 0.2], [1 / 3] * 3])


@st.composite
def softmaxes(draw: st.DrawFn) -> np.ndarray:
    shape = (draw(st.integers(1, 8)), draw(st.integers(2, 6)))
    logits = draw(hnp.arrays(np.float64, shape, elements=st.floats(-20, 20)))
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_centred_logits_by_hand():
    # ln of (e^2, 1, 1/e^2) / sum: whatever the sum, the centred logits are 2, 0, -2
    weights = np.exp([[2.0, 0.0, -2.0]])
    assert metrics.centred_logits(weights / weights.sum()) == pytest.approx(np.array([[2, 0, -2]]))


def test_zeros_are_floored():
    logits = metrics.centred_logits(np.array([[1.0, 0.0]], np.float32))
    assert logits == pytest.approx(np.array([[15 * math.log(10), -15 * math.log(10)]]))
    half_step = metrics.centred_logits(np.array([[1.0, 0.0]]), metrics.UINT8_FLOOR)
    assert half_step == pytest.approx(np.array([[4.5 * math.log(2), -4.5 * math.log(2)]]))


def test_nan_and_infinity_stay_visible_in_logits():
    logits = metrics.centred_logits(np.array([[math.nan, 0.5], [math.inf, 0.5], [0.5, 0.5]]))
    assert np.isnan(logits[:2]).any(axis=1).all()
    assert (logits[2] == 0).all()


def test_logit_comparison_by_hand():
    # Logits (2, -2) and (1, -1) against (1, -1) and (1, -1)
    ours = _softmax([[2.0, -2.0], [1.0, -1.0]])
    theirs = _softmax([[1.0, -1.0], [1.0, -1.0]])
    seen = metrics.compare_logits(ours, theirs)
    assert seen.max_abs == pytest.approx(1)
    assert seen.mean_abs == pytest.approx((1 + 1 + 0 + 0) / 4)
    assert seen.logit_range == pytest.approx(4)
    assert seen.cosine == pytest.approx((2 + 2 + 1 + 1) / math.sqrt(10 * 4))
    assert seen.sqnr_db == pytest.approx(10 * math.log10(10 / 2))
    p, q = ours[0], theirs[0]
    by_hand = p[0] * math.log(p[0] / q[0]) + p[1] * math.log(p[1] / q[1])
    assert seen.kl == pytest.approx(by_hand / 2)


def _softmax(logits) -> np.ndarray:
    exponentials = np.exp(np.array(logits))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_equal_answers_have_infinite_sqnr():
    seen = metrics.compare_logits(PROBABILITIES, PROBABILITIES)
    assert (seen.max_abs, seen.mean_abs, seen.sqnr_db, seen.kl) == (0, 0, math.inf, 0)
    assert seen.cosine == pytest.approx(1)


def test_uniform_reference_has_no_signal():
    uniform, other = np.full((1, 2), 0.5), _softmax([[1.0, -1.0]])
    assert metrics.compare_logits(uniform, uniform).cosine == 1
    seen = metrics.compare_logits(uniform, other)
    assert (seen.cosine, seen.sqnr_db, seen.logit_range) == (0, -math.inf, 0)


@pytest.mark.parametrize("artifact", [np.array([[math.nan, 1.0]]), np.array([[math.inf, 0.0]])])
def test_no_figures_where_an_answer_is_not_finite(artifact):
    seen = metrics.compare_logits(np.array([[0.5, 0.5]]), artifact)
    assert all(math.isnan(value) for value in vars(seen).values())


def test_no_figures_without_pictures():
    empty = np.zeros((0, 3))
    assert math.isnan(metrics.compare_logits(empty, empty).sqnr_db)


def test_rows_are_processed_in_blocks_with_the_same_result(monkeypatch):
    generator = np.random.default_rng(0)
    ours, theirs = (_softmax(generator.normal(size=(23, 5))) for _ in range(2))
    whole = metrics.compare_logits(ours, theirs)
    monkeypatch.setattr(row_blocks, "NUMBERS", 20)
    assert metrics.compare_logits(ours, theirs) == whole


@LIGHT
@given(softmaxes())
def test_kl_is_never_negative_and_zero_for_itself(probabilities):
    shifted = np.roll(probabilities, 1, axis=1)
    assert metrics.compare_logits(probabilities, shifted).kl >= 0
    assert metrics.compare_logits(probabilities, probabilities).kl == 0


def test_ties_never_hit():
    labels = np.array([0, 1, 0, 2])
    assert metrics.topk_hits(PROBABILITIES, labels, 1).tolist() == [True, True, False, False]
    assert metrics.topk_hits(PROBABILITIES, labels, 2).tolist() == [True, True, True, False]
    assert metrics.topk_hits(PROBABILITIES, labels, 3).all()


def test_label_of_probability_zero_is_not_in_the_top_five_by_its_number():
    # As an integer softmax answers: one class at 255/256, nine zeros
    probabilities = np.eye(1, 10, k=9) * 255 / 256
    assert not metrics.topk_hits(probabilities, np.array([0]), 5).any()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_answer_that_is_not_finite_never_hits_nor_agrees(bad):
    probabilities = np.array([[bad, 0.2, 0.1], [0.9, bad, 0.0]])
    labels = np.array([0, 0])
    for k in (1, 3, 5):
        assert not metrics.topk_hits(probabilities, labels, k).any()
    assert metrics.top_answers(probabilities, labels).tolist() == [metrics.NO_ANSWER] * 2
    assert not metrics.agreements(probabilities, probabilities).any()


def test_answers_in_a_tie_avoid_the_label():
    assert metrics.top_answers(PROBABILITIES, np.array([0, 0, 0, 0])).tolist() == [0, 1, 1, 1]
    assert metrics.top_answers(PROBABILITIES, np.array([2, 2, 2, 1])).tolist() == [0, 1, 0, 0]


@LIGHT
@given(softmaxes(), st.integers(0, 5))
def test_answers_equal_the_label_exactly_where_they_hit(probabilities, seed):
    probabilities = probabilities.round(1)  # makes ties
    labels = np.random.default_rng(seed).integers(0, probabilities.shape[1], len(probabilities))
    hits = metrics.topk_hits(probabilities, labels, 1)
    assert ((metrics.top_answers(probabilities, labels) == labels) == hits).all()


def test_agreement_needs_the_same_best_classes():
    other = np.array([[0.5, 0.3, 0.2], [0.5, 0.4, 0.1], [0.5, 0.3, 0.2], [1 / 3] * 3])
    assert metrics.agreements(PROBABILITIES, other).tolist() == [True, False, False, True]


def test_confusion_matrix_by_hand():
    answers = np.array([0, 1, 1, 2, metrics.NO_ANSWER])
    labels = np.array([0, 0, 1, 1, 2])
    expected = [[1, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert metrics.confusion_matrix(answers, labels, 3).tolist() == expected


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_the_largest_two(classes):
    probabilities = np.random.default_rng(0).random((8, classes))
    second, first = metrics.largest_two(probabilities)
    ordered = np.sort(np.hstack([np.zeros((8, 1)), probabilities]), axis=1)
    assert np.array_equal(second, ordered[:, -2])
    assert np.array_equal(first, ordered[:, -1])
