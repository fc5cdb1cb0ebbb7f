import numpy as np
import pytest
import tensorflow as tf

from resnet_edge.training import augmentation as augmentation_module
from resnet_edge.training.augmentation import augmentation, variation


def test_pictures_are_varied_by_the_seed_within_their_range():
    pictures = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.float32)
    first, again, other = (
        np.asarray(augmentation(seed)(pictures, training=True)) for seed in (1, 1, 2)
    )
    assert first.shape == pictures.shape
    assert (first == again).all()
    assert np.abs(first - other).max() > 1
    assert np.abs(first - pictures).max() > 1
    assert first.min() >= -1e-3
    assert first.max() <= 255 + 1e-3


def test_a_step_varies_alike_whatever_came_before():
    pictures = tf.random.stateless_uniform((4, 16, 16, 3), (0, 1), maxval=255)
    whole, resumed = variation(1), variation(1)
    steps = [np.asarray(whole(pictures, step)) for step in (1, 2, 3)]
    np.testing.assert_array_equal(resumed(pictures, 3), steps[2])
    assert np.abs(steps[0] - steps[1]).max() > 1
    assert np.abs(np.asarray(variation(2)(pictures, 3)) - steps[2]).max() > 1


def test_every_second_picture_stays_as_it_is():
    pictures = tf.random.stateless_uniform((5, 16, 24, 3), (0, 1), maxval=255)
    varied = np.asarray(variation(1)(pictures, 1))
    np.testing.assert_array_equal(varied[::2], pictures[::2])
    assert all(np.abs(varied[i] - pictures[i]).max() > 1 for i in (1, 3))
    assert varied.min() >= 0
    assert varied.max() <= 255


def test_a_transform_turns_stretches_and_moves_about_the_middle(monkeypatch: pytest.MonkeyPatch):
    for name, value in {"ROTATION": 0.0, "ZOOM": 0.0, "SHIFT": 0.0}.items():
        monkeypatch.setattr(augmentation_module, name, value)
    pictures = tf.random.stateless_uniform((2, 9, 13, 3), (0, 1), maxval=255)
    np.testing.assert_allclose(variation(1)(pictures, 1), pictures, atol=1e-3)
    monkeypatch.setattr(augmentation_module, "ROTATION", 0.05)
    point = np.zeros((2, 9, 9, 3), np.float32)
    point[:, 4, 4] = 200  # the middle stays where it is
    np.testing.assert_allclose(variation(1)(tf.constant(point), 1)[1, 4, 4], 200, atol=1e-2)
