"""Views of pictures, and a teacher that is asked once."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from converters.learning.labelled_pictures import LabelledPictures
from converters.learning.views import VIEWS, Lessons

PICTURES = np.random.default_rng(0).integers(0, 256, (5, 20, 30, 3), dtype=np.uint8)


class Teacher:
    """Answers with the mean of every colour, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, pictures: tf.Tensor) -> tf.Tensor:
        self.asked += len(pictures)
        return tf.reduce_mean(pictures, axis=(1, 2))


def test_views_of_the_chosen_pictures() -> None:
    lessons = Lessons(Teacher(), PICTURES, np.array([3, 1]))
    assert lessons.count == VIEWS * 2
    seen, answers = lessons.give(np.array([0, 2, 4, 10]))
    np.testing.assert_array_equal(seen[0], PICTURES[3])
    np.testing.assert_array_equal(seen[1], PICTURES[3][:, ::-1])
    for shifted, whole in ((seen[2], PICTURES[3]), (seen[3], PICTURES[3][:, ::-1])):
        wide = np.pad(whole, ((2, 2), (2, 2), (0, 0)), mode="reflect")
        places = [wide[top : top + 20, left : left + 30] for top in range(5) for left in range(5)]
        assert any(np.array_equal(shifted, place) for place in places)
    np.testing.assert_allclose(answers, np.asarray(seen).mean(axis=(1, 2)), rtol=1e-5)


def test_the_teacher_answers_a_view_once() -> None:
    teacher = Teacher()
    lessons = Lessons(teacher, PICTURES, np.arange(5))
    first = lessons.give(np.array([1, 7]))
    again = lessons.give(np.array([7, 1]))
    assert teacher.asked == 2
    np.testing.assert_array_equal(first[1][0], again[1][1])


def test_pictures_of_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "pictures.npy", PICTURES)
    mapped = np.load(tmp_path / "pictures.npy", mmap_mode="r")
    one, two = (
        Lessons(Teacher(), pictures, np.arange(5)).give(np.array([2, 13]))
        for pictures in (PICTURES, mapped)
    )
    np.testing.assert_array_equal(one[0], two[0])


def test_every_picture_has_a_label() -> None:
    with pytest.raises(ValueError, match="5 pictures with 3 labels"):
        LabelledPictures(PICTURES, np.zeros(3, int))
