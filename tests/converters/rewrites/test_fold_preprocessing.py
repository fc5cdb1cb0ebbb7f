"""Channel order and scale move into the first convolution; the answers stay."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from converters.preprocessing import PREPROCESSINGS, Preprocessing
from converters.rewrites.all_rewrites import fold_into, optimize
from converters.rewrites.fold_preprocessing import fold_preprocessing
from converters.serving import serving_model
from resnet_edge.model.resnet50 import resnet50

FOLDED = ("caffe", "torch", "tf", "unit")
NONE = PREPROCESSINGS["none"]
Answers = Callable[[keras.Model, np.ndarray], np.ndarray]


@pytest.fixture(name="fold", scope="module")
def _fold(randomize, answers: Answers) -> Callable[..., tuple[keras.Model, Preprocessing]]:
    """Fold, and compare answers to raw pictures to 1e-5 of their range."""

    def run(model: keras.Model, name: str, count: int) -> tuple[keras.Model, Preprocessing]:
        randomize(model)
        before = PREPROCESSINGS[name]
        shape = [24 if side is None else side for side in model.inputs[0].shape[1:]]
        pictures = np.random.default_rng(1).integers(0, 256, (2, *shape)).astype(np.float32)
        weights = model.get_weights()
        expected = answers(model, before.apply(pictures))
        rewritten, after = fold_preprocessing(model, before)
        assert rewritten.count == count
        assert (rewritten.model is model) == (after is before) == (count == 0)
        actual = answers(rewritten.model, after.apply(pictures))
        assert np.ptp(expected) > 0
        assert np.abs(actual - expected).max() <= 1e-5 * np.ptp(expected)
        for old, new in zip(weights, model.get_weights(), strict=True):
            np.testing.assert_array_equal(new, old)
        return rewritten.model, after

    return run


def stem(*behind: layers.Layer, shape: tuple[int | None, ...] = (12, 13, 3)) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *behind])


@pytest.mark.parametrize("name", FOLDED)
def test_every_preprocessing(fold, name: str) -> None:
    model, after = fold(stem(layers.Conv2D(4, 3, padding="same", name="first")), name, 1)
    assert (after.reverse_channels, after.scale) == (False, (1.0, 1.0, 1.0))
    assert after.picture_size == (12, 13)
    assert model.get_layer("first").kernel.shape == (3, 3, 3, 4)


def test_the_offset_is_in_the_pictures_order(fold) -> None:
    _, after = fold(stem(layers.Conv2D(4, 3)), "caffe", 1)
    assert after.offset == (123.68, 116.779, 103.939)
    offset = np.zeros((1, 12, 13, 3), np.float32) - after.apply(np.zeros((1, 12, 13, 3)))
    np.testing.assert_array_equal(offset[0, 5, 7], np.float32(after.offset))


def test_weights_by_hand() -> None:
    model = stem(layers.Conv2D(1, 1, name="c"), shape=(1, 1, 3))
    model.set_weights([np.float32([[[[1], [2], [3]]]]), np.float32([7])])
    given = Preprocessing("by hand", True, (10.0, 20.0, 30.0), (0.5, 0.25, 2.0))
    rewritten, after = fold_preprocessing(model, given)
    kernel, bias = rewritten.model.get_layer("c").get_weights()
    assert kernel.ravel().tolist() == [6.0, 0.5, 0.5]  # 3 x 2, 2 x 0.25, 1 x 0.5
    assert bias.tolist() == [7.0]
    assert after.offset == (30.0, 20.0, 10.0)


@given(
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    zeros=st.integers(0, 3),
    padding=st.sampled_from(["same", "valid"]),
    bias=st.booleans(),
    name=st.sampled_from(FOLDED),
)
@settings(max_examples=40, deadline=None)
def test_it_is_exact_with_any_padding(fold, kernel, stride, zeros, padding, bias, name) -> None:
    conv = layers.Conv2D(3, kernel, stride, padding, use_bias=bias)
    fold(stem(layers.ZeroPadding2D(zeros), conv), name, 1)


def test_a_model_inside(fold) -> None:
    inner = stem(layers.ZeroPadding2D(1), layers.Conv2D(4, 3))
    x = keras.Input((12, 13, 3))
    fold(keras.Model(x, layers.Flatten()(inner(x))), "caffe", 1)


def test_a_free_size_has_three_levels(fold) -> None:
    _, after = fold(stem(layers.Conv2D(4, 3), shape=(None, None, 3)), "caffe", 1)
    assert after.picture_size is None


def test_where_it_does_not_apply(fold) -> None:
    fold(stem(layers.Conv2D(4, 3)), "none", 0)
    fold(stem(layers.BatchNormalization(), layers.Conv2D(4, 3)), "caffe", 0)
    fold(stem(layers.DepthwiseConv2D(3)), "caffe", 0)
    fold(stem(layers.Conv2D(3, 3, groups=3)), "caffe", 0)
    x = keras.Input((12, 12, 3))
    conv = layers.Conv2D(3, 3, padding="same")
    fold(keras.Model(x, layers.Add()([x, conv(x)])), "caffe", 0)  # two readers
    fold(keras.Model(x, conv(conv(x))), "caffe", 0)  # one kernel for two tensors
    inner = stem(layers.Conv2D(3, 3, padding="same"), shape=(12, 12, 3))
    fold(keras.Model(x, inner(inner(x))), "caffe", 0)
    fold(keras.Model(x, [x, conv(x)][1:]), "caffe", 1)


@pytest.mark.parametrize("side", [32, 33])
def test_a_resnet_with_all_rewrites(randomize, answers: Answers, side: int) -> None:
    model = randomize(resnet50((side, side, 3), classes=5, width=0.125))
    caffe = PREPROCESSINGS["caffe"]
    optimized, rest = fold_into(optimize(model), caffe)
    assert optimized.applied[-1] == "fold_preprocessing"
    pictures = np.random.default_rng(0).integers(0, 256, (4, side, side, 3))
    expected = answers(serving_model(model, caffe), pictures)
    actual = answers(serving_model(optimized.model, rest), pictures)
    logits = np.log(expected) - np.log(expected).mean(axis=1, keepdims=True)
    found = np.log(actual) - np.log(actual).mean(axis=1, keepdims=True)
    assert np.abs(found - logits).max() <= 1e-5 * np.ptp(logits)


def test_nothing_to_fold_leaves_both() -> None:
    optimized = optimize(stem(layers.Conv2D(4, 3)))
    assert fold_into(optimized, NONE) == (optimized, NONE)
