"""Preprocessing equals keras.applications', and works on arrays and symbolic tensors alike."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from converters.preprocessing import PREPROCESSINGS

PICTURES = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.just(3))
)


@pytest.mark.parametrize("mode", ["caffe", "torch", "tf"])
@settings(deadline=None, max_examples=30)
@given(pictures=PICTURES)
def test_equals_keras_applications(mode: str, pictures: np.ndarray) -> None:
    pixels = pictures.astype(np.float32)
    expected = keras.applications.imagenet_utils.preprocess_input(pixels.copy(), mode=mode)
    actual = PREPROCESSINGS[mode].apply(pixels)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(pixels, pictures)


def test_unit_and_none_by_hand() -> None:
    pixel = np.array([[0, 51, 255]], np.float32)
    np.testing.assert_allclose(PREPROCESSINGS["unit"].apply(pixel), [[0, 0.2, 1]], rtol=1e-6)
    np.testing.assert_array_equal(PREPROCESSINGS["none"].apply(pixel), pixel)


def test_caffe_by_hand() -> None:
    pixel = np.array([[10, 20, 30]], np.float32)
    expected = [[30 - 103.939, 20 - 116.779, 10 - 123.68]]
    np.testing.assert_allclose(PREPROCESSINGS["caffe"].apply(pixel), expected, rtol=1e-6)


@pytest.mark.parametrize("name", sorted(PREPROCESSINGS))
def test_a_graph_does_the_same(name: str) -> None:
    x = keras.Input((4, 5, 3))
    model = keras.Model(x, PREPROCESSINGS[name].apply(x) + 0.0)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(
        np.asarray(model(pixels)), PREPROCESSINGS[name].apply(pixels), rtol=1e-6, atol=1e-5
    )


def test_names() -> None:
    assert set(PREPROCESSINGS) == {"caffe", "torch", "tf", "unit", "none"}
    assert all(name == value.name for name, value in PREPROCESSINGS.items())
