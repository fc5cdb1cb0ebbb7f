"""Folding is exact where it applies, and applies nowhere else."""

from collections.abc import Callable
from functools import partial

import keras
import numpy as np
import pytest
from keras import layers

from converters.rewrites.fold_batch_norm import fold_batch_norm
from resnet_edge.model.resnet50 import resnet50

Check = Callable[[keras.Model, int], keras.Model]
Randomize = Callable[..., keras.Model]


def norms(model: keras.Model) -> list[str]:
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += norms(layer)
        elif isinstance(layer, layers.BatchNormalization):
            found.append(layer.name)
    return found


@pytest.fixture(name="check")
def _check(check) -> Check:
    return partial(check, fold_batch_norm)


@pytest.mark.parametrize("size", [32, 45])
def test_a_resnet50_loses_every_batch_norm(check: Check, size: int) -> None:
    model = resnet50((size, size, 3), 5, width=0.0625)
    logits = keras.Model(model.input, _before_softmax(model))
    folded = check(logits, 53)
    assert norms(folded) == []
    assert {layer.name for layer in folded.layers} == {layer.name for layer in logits.layers} - set(
        norms(logits)
    )


def _before_softmax(model: keras.Model) -> keras.KerasTensor:
    head = model.layers[-1]
    linear = layers.Dense(head.units, name=head.name)
    return linear(head.input)


@pytest.mark.parametrize(("scale", "center"), [(True, False), (False, True), (False, False)])
def test_batch_norm_without_scale_or_center(check: Check, scale: bool, center: bool) -> None:
    x = keras.Input((9, 7, 3))
    y = layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(x)
    folded = check(keras.Model(x, layers.BatchNormalization(scale=scale, center=center)(y)), 1)
    assert norms(folded) == []


def test_depthwise_grouped_and_dilated_convolutions(check: Check) -> None:
    x = keras.Input((9, 8, 3))
    y = layers.DepthwiseConv2D(3, depth_multiplier=2)(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.BatchNormalization()(layers.Conv2D(8, 3, groups=2, padding="same")(y))
    y = layers.BatchNormalization()(layers.Conv2D(5, 2, dilation_rate=2)(y))
    assert norms(check(keras.Model(x, y), 3)) == []


def test_a_sequential_model(check: Check) -> None:
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU()]
    )
    assert norms(check(model, 1)) == []


def test_models_inside_models(check: Check) -> None:
    x = keras.Input((8, 8, 3))
    deep = keras.Sequential([keras.Input((6, 6, 4)), layers.Conv2D(4, 3, name="c")])
    deep.add(layers.BatchNormalization(name="b"))
    inner = keras.Input((8, 8, 3))
    y = layers.BatchNormalization(name="b")(layers.Conv2D(4, 3, name="c")(inner))
    backbone = keras.Model(inner, deep(y), name="backbone")
    y = layers.GlobalAveragePooling2D()(backbone(x))
    assert norms(check(keras.Model(x, layers.Dense(3)(y)), 2)) == []


def test_a_model_called_twice_stays_one_model(check: Check) -> None:
    inner = keras.Input((8, 8, 3))
    y = layers.BatchNormalization()(layers.Conv2D(3, 3, padding="same")(inner))
    twice = keras.Model(inner, y, name="twice")
    x = keras.Input((8, 8, 3))
    folded = check(keras.Model(x, twice(twice(x))), 1)
    assert [layer.name for layer in folded.layers].count("twice") == 1


def test_only_the_inner_model_folds(check: Check) -> None:
    inner = keras.Input((8, 8, 3))
    y = layers.BatchNormalization()(layers.Conv2D(3, 3)(inner))
    x = keras.Input((8, 8, 3))
    check(keras.Model(x, layers.ReLU()(keras.Model(inner, y)(x))), 1)


def test_state_beyond_weights_is_kept(check: Check) -> None:
    """Normalization layers compute with numbers that ``set_weights`` does not reach."""
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(0).uniform(0, 255, (20, 8, 8, 3)))
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(4, 3)(normalization(x))
    check(keras.Model(x, layers.BatchNormalization()(y)), 1)


def test_a_model_without_batch_norm_is_returned_itself() -> None:
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, layers.Conv2D(4, 3)(x))
    assert fold_batch_norm(model).model is model
    assert fold_batch_norm(model).count == 0


def test_a_subclassed_model_is_returned_itself() -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            inner = keras.Input((8, 8, 3))
            y = layers.BatchNormalization()(layers.Conv2D(3, 3)(inner))
            self.inner = keras.Model(inner, y)

        def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
            return self.inner(x)

    model = Own()
    model(np.zeros((1, 8, 8, 3), np.float32))
    assert fold_batch_norm(model).model is model


def _conv_read_twice() -> keras.Model:
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(4, 3)(x)
    return keras.Model(x, layers.Add()([layers.BatchNormalization()(y), y]))


def _conv_is_an_output() -> keras.Model:
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(4, 3)(x)
    z = layers.Concatenate()([layers.BatchNormalization()(y), layers.Conv2D(4, 3)(x)])
    return keras.Model(x, [z, y])


def _shared_conv() -> keras.Model:
    x = keras.Input((8, 8, 3))
    conv = layers.Conv2D(3, 3, padding="same")
    return keras.Model(x, layers.BatchNormalization()(conv(conv(x))))


def _shared_norm() -> keras.Model:
    x = keras.Input((8, 8, 3))
    norm = layers.BatchNormalization()
    return keras.Model(x, norm(layers.Conv2D(3, 3)(norm(layers.Conv2D(3, 3)(x)))))


def _other_axis() -> keras.Model:
    x = keras.Input((8, 8, 3))
    return keras.Model(x, layers.BatchNormalization(axis=1)(layers.Conv2D(4, 3)(x)))


def _activation_between() -> keras.Model:
    x = keras.Input((8, 8, 3))
    return keras.Model(x, layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(x)))


def _norm_first() -> keras.Model:
    x = keras.Input((8, 8, 3))
    return keras.Model(x, layers.Conv2D(4, 3)(layers.BatchNormalization()(x)))


@pytest.mark.parametrize(
    "build",
    [
        _conv_read_twice,
        _shared_conv,
        _shared_norm,
        _other_axis,
        _activation_between,
        _norm_first,
    ],
)
def test_what_cannot_be_folded_is_left_alone(
    build: Callable[[], keras.Model], check: Check
) -> None:
    model = build()
    assert check(model, 0) is model


def test_a_dense_layer_takes_the_norm_behind_it(check: Check) -> None:
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, layers.BatchNormalization()(layers.Dense(4)(layers.Flatten()(x))))
    assert norms(check(model, 1)) == []


def test_a_convolution_that_is_an_output_is_left_alone(
    randomize: Randomize,
) -> None:
    model = randomize(_conv_is_an_output())
    assert fold_batch_norm(model).count == 0


def test_folding_one_of_several(check: Check) -> None:
    """Beside what cannot be folded, the rest still is."""
    x = keras.Input((8, 8, 3))
    y = layers.BatchNormalization(name="folds")(layers.Conv2D(3, 3)(x))
    y = layers.BatchNormalization(name="stays")(layers.ReLU()(y))
    assert norms(check(keras.Model(x, y), 1)) == ["stays"]


def test_batch_statistics_stay() -> None:
    """A normalization that is told to train computes with numbers that no weight holds."""
    x = keras.Input((8, 8, 3))
    y = layers.BatchNormalization()(layers.Conv2D(4, 3)(x), training=True)
    model = keras.Model(x, y)
    assert fold_batch_norm(model).model is model
    nested = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()]
    )
    told = keras.Model(x, nested(x, training=True))
    assert fold_batch_norm(told).model is told
