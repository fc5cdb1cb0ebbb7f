from __future__ import annotations

import math

import numpy as np
import pytest

from resnet_edge.ondevice.parity.collapse import binomial_cdf, find_collapse
from resnet_edge.ondevice.parity.metrics import FLOAT_FLOOR, UINT8_FLOOR
from resnet_edge.ondevice.parity.picture_figures import picture_figures

NAMES = ("cat", "dog", "eel")


def collapse_of(
    probabilities: np.ndarray,
    labels: np.ndarray,
    names: tuple[str, ...],
    floor: float = FLOAT_FLOOR,
) -> str | None:
    return find_collapse(picture_figures(probabilities, labels), labels, names, floor)


def test_binomial_cdf_by_hand():
    # Three throws of a fair coin: 1/8, 4/8, 7/8, 8/8
    values = [binomial_cdf(hits, 3, 0.5) for hits in range(-1, 4)]
    assert values == pytest.approx([0, 1 / 8, 4 / 8, 7 / 8, 1])


def _one_hot(classes, count) -> np.ndarray:
    return np.eye(count)[classes] * 0.9 + 0.1 / count


def test_healthy_answers_are_no_collapse():
    labels = np.arange(30) % 3
    assert collapse_of(_one_hot(labels, 3), labels, NAMES) is None


def test_no_pictures_are_a_collapse():
    found = collapse_of(np.zeros((0, 3)), np.zeros(0, int), NAMES)
    assert found == "no pictures were answered"


def test_nan_is_a_collapse():
    probabilities = _one_hot([0, 1, 2], 3)
    probabilities[1, 2] = math.nan
    found = collapse_of(probabilities, np.array([0, 1, 2]), NAMES)
    assert found == "NaN or infinity in the answers to 1 of 3 pictures"


def test_missing_softmax_is_a_collapse():
    labels = np.array([0, 1, 2])
    found = collapse_of(_one_hot(labels, 3) * 7, labels, NAMES)
    assert found == (
        "no probabilities: 3 of 3 answers are negative or do not add up to 1 "
        "(the first adds up to 7); is the softmax missing?"
    )
    negative = np.array([[1.5, -0.5, 0.0]])
    assert "no probabilities: 1 of 1" in str(collapse_of(negative, labels[:1], NAMES))


def test_rounding_of_an_integer_softmax_is_allowed():
    # 10 classes: 0.04 in nine of them is 10.24 steps of 1/256 and loses 0.24 of one in each
    probabilities = np.full((10, 10), 10 / 256)
    labels = np.arange(10)
    probabilities[labels, labels] = 163 / 256
    names = tuple("abcdefghij")
    assert collapse_of(probabilities, labels, names, UINT8_FLOOR) is None


def test_one_class_for_everything_is_a_collapse():
    labels = np.array([0, 1, 2, 1])
    found = collapse_of(_one_hot([1] * 4, 3), labels, NAMES)
    assert found == "one class for everything: the answer to all 4 pictures is 'dog'"


def test_one_class_is_no_collapse_where_the_labels_are_one_class():
    assert collapse_of(_one_hot([1] * 4, 3), np.array([1] * 4), NAMES) is None


def test_uniform_answers_are_a_collapse():
    found = collapse_of(np.full((9, 3), 1 / 3), np.arange(9) % 3, NAMES)
    assert found is not None
    assert "one class for everything" in found


def test_chance_level_is_a_collapse():
    # 30 of 90 right with 3 classes: what guessing gives
    answers, labels = np.repeat([0, 1, 2], 30), np.arange(90) % 3
    found = collapse_of(_one_hot(answers, 3), labels, NAMES)
    assert found == (
        "chance level: 30 of 90 pictures are right (33.3%); guessing among 3 classes gives 33.3%"
    )


def test_too_few_pictures_are_not_called_chance_level():
    # 9 of 12 with two classes: guessing gives that in 7 %, yet it is what a useful model has
    labels = np.array([0, 1] * 6)
    answers = labels.copy()
    answers[:3] = 1 - answers[:3]
    assert collapse_of(_one_hot(answers, 2), labels, ("a", "b")) is None
    perfect = np.array([0, 1])
    assert collapse_of(_one_hot(perfect, 2), perfect, ("a", "b")) is None
