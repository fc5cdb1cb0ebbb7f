"""Losses by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from converters.learning.losses import LEAD, TEACHER, answer_noise, cross_entropies


def test_errors_in_the_lead_count_more() -> None:
    logits = tf.constant([[3.0, 1.0, -4.0]])
    signal = 9 + 1 + 16
    beside = float(answer_noise(logits + tf.constant([[0.0, 0.0, 1.0]]), logits))
    assert beside == pytest.approx(1 / signal)
    lead = float(answer_noise(logits + tf.constant([[-1.0, 1.0, 0.0]]), logits))
    assert lead == pytest.approx((2 + LEAD * 4) / signal)
    assert float(answer_noise(logits + tf.constant([[1.0, 1.0, 0.0]]), logits)) == pytest.approx(
        2 / signal
    )


def test_both_cross_entropies() -> None:
    answers = tf.constant([[math.log(0.5), math.log(0.25), math.log(0.25)]])
    teacher = tf.constant([[math.log(0.2), math.log(0.2), math.log(0.6)]])
    found = float(cross_entropies(answers, teacher, tf.constant([1])))
    by_teacher = -(0.2 * math.log(0.5) + 0.8 * math.log(0.25))
    assert found == pytest.approx(-math.log(0.25) + TEACHER * by_teacher, rel=1e-6)
    assert np.isfinite(found)
