"""Lessons in an order that goes on where it stopped, and exams by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from converters.compression.courses import Labelled, Mark, Unlabelled, answers_of
from converters.learning.labelled_pictures import LabelledPictures

PICTURES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(40) % 3


def teacher(pictures: tf.Tensor) -> tf.Tensor:
    """The mean of every colour, centred."""
    means = tf.reduce_mean(tf.cast(pictures, tf.float32), axis=(1, 2)) / 10
    return means - tf.reduce_mean(means, axis=1, keepdims=True)


def known(first: int, last: int) -> LabelledPictures:
    return LabelledPictures(PICTURES[first:last], LABELS[first:last])


@pytest.mark.parametrize("kind", ["unlabelled", "labelled"])
def test_lessons_go_on_where_they_stopped(kind: str) -> None:
    def begin():
        if kind == "unlabelled":
            return Unlabelled(teacher, PICTURES)
        return Labelled(teacher, known(0, 30), known(30, 40), lambda x, step: x + step)

    whole = list(begin().lessons(5, 0))
    rest = list(begin().lessons(5, 3))
    assert (len(whole), len(rest)) == (5, 2)
    for (one, targets), (two, others) in zip(whole[3:], rest, strict=True):
        np.testing.assert_array_equal(one, two)
        for left, right in zip(targets, others, strict=True):
            np.testing.assert_array_equal(left, right)


def test_nothing_is_learned_from_pictures_of_the_exam() -> None:
    course = Unlabelled(teacher, PICTURES)
    learned = {
        bytes(np.asarray(one, np.uint8))
        for pictures, _ in course.lessons(40, 0)
        for one in pictures.numpy()
    }
    held = [bytes(picture) for picture in course._exam]
    assert len(held) == 6
    assert not learned & set(held)


def test_the_mark_without_labels_is_a_ratio_of_signal_to_noise() -> None:
    course = Unlabelled(teacher, PICTURES)
    mark = course.examine(lambda pictures: 0.9 * teacher(pictures))
    assert mark.score == pytest.approx(20, abs=1e-3)
    assert (mark.words, mark.top1) == ("20.0 dB", None)


def test_the_mark_with_labels_is_the_cross_entropy() -> None:
    course = Labelled(teacher, known(0, 30), known(30, 33))
    logits = np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # labels 0, 1, 2
    mark = course.examine(lambda pictures: tf.constant(logits[: len(pictures)], tf.float32))
    losses = (math.log(3), math.log(math.e**2 + 2), math.log(2 + math.e))
    assert mark.score == pytest.approx(-sum(losses) / 3, rel=1e-6)
    assert mark.top1 == pytest.approx(1 / 3)
    assert mark.words == f"{sum(losses) / 3:.3f} nats, 33.3% right"


def test_who_beats_whom() -> None:
    first, better, fewer = Mark(1.0, "", 0.6), Mark(2.0, "", 0.6), Mark(3.0, "", 0.5)
    assert better.beats(first, first)
    assert not fewer.beats(better, first)
    assert not first.beats(better, first)
    assert Mark(2.0, "").beats(Mark(1.0, ""), Mark(1.0, ""))
    assert not Mark(math.nan, "").beats(Mark(1.0, ""), Mark(1.0, ""))


def test_answers_come_in_the_order_of_the_pictures() -> None:
    many = np.repeat(PICTURES, 30, axis=0).repeat(16, axis=1).repeat(16, axis=2)
    found = answers_of(teacher, many)
    np.testing.assert_allclose(found[::30], teacher(PICTURES), rtol=1e-4, atol=1e-4)
