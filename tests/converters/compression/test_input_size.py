"""The same weights at another size give what Keras gives there."""

import keras
import numpy as np
import pytest
from keras import layers

from converters.compression.input_size import at_input_size
from converters.errors import ModelConversionError


@pytest.mark.parametrize("name", ["residual", "mobile", "dense", "nested"])
@pytest.mark.parametrize("size", [(12, 12), (24, 20)])
def test_weights_do_not_depend_on_the_size(make, answers, photos, name: str, size) -> None:
    model = make(name)
    resized = at_input_size(model, *size)
    assert resized.input_shape == (None, *size, 3)
    assert [w.path for w in resized.weights] == [w.path for w in model.weights]
    # At the old size again, it is the old network.
    again = at_input_size(resized, 16, 16)
    np.testing.assert_allclose(answers(again, photos[:3]), answers(model, photos[:3]), atol=1e-6)
    pictures = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    assert np.isfinite(answers(resized, pictures)).all()


def test_it_convolves_what_it_is_given(make, answers) -> None:
    """A picture that repeats itself gives what one period gives, where nothing is padded."""
    image = keras.Input((4, 4, 3))
    x = layers.Conv2D(5, 1, activation="relu")(image)
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    small = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    large = np.tile(small, (1, 2, 3, 1))
    found = answers(at_input_size(model, 8, 12), large)
    np.testing.assert_allclose(found, answers(model, small), atol=1e-6)


def test_a_flattening_needs_its_size(make) -> None:
    with pytest.raises(ModelConversionError) as problem:
        at_input_size(make("plain"), 20, 20)
    text = str(problem.value)
    assert text.startswith("hidden (Dense) cannot take pictures of 20x20: ")
    assert text.endswith("a network that convolves down to a global pooling; keep its input size")


def test_pictures_that_are_too_small(make) -> None:
    image = keras.Input((32, 32, 3))
    x = layers.MaxPooling2D(2, name="once")(image)
    x = layers.MaxPooling2D(2, name="twice")(x)
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    with pytest.raises(ModelConversionError, match="twice"):
        at_input_size(model, 2, 2)
