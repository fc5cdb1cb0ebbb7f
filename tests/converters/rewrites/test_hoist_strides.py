"""Strides move up exactly, save multiply-adds, and stay where they cannot move."""

from collections.abc import Callable
from functools import partial

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from converters.multiply_adds import count_multiply_adds
from converters.rewrites.fold_batch_norm import fold_batch_norm
from converters.rewrites.hoist_strides import hoist_strides
from resnet_edge.model.resnet50 import resnet50

Tensor = keras.KerasTensor
SHAPE = (17, 14, 3)


@pytest.fixture(name="hoist")
def _hoist(check) -> Callable[[keras.Model, int], keras.Model]:
    return partial(check, hoist_strides)


def strides(model: keras.Model) -> dict[str, tuple[int, int]]:
    """Of all convolutions and poolings that have one."""
    found = {
        layer.name: tuple(layer.strides) for layer in model.layers if hasattr(layer, "strides")
    }
    return {name: pair for name, pair in found.items() if pair != (1, 1)}


def block(x: Tensor, name: str, size: int = 3, **config: object) -> Tensor:
    """A residual block with an identity, under names of a user's."""
    y = layers.Conv2D(4, 1, name=f"{name} reduce")(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    config = {"padding": "same", "name": f"{name} wide", **config}
    y = layers.Conv2D(4, size, **config)(y)
    y = layers.Activation("relu")(layers.BatchNormalization()(y))
    y = layers.BatchNormalization()(layers.Conv2D(x.shape[-1], 1, name=f"{name} expand")(y))
    return layers.ReLU()(layers.Add(name=f"{name} sum")([x, y]))


def readers(x: Tensor, stride: object = 2, **config: object) -> Tensor:
    """Two 1x1 convolutions with a stride, as a stage of ResNet v1 begins."""
    one = layers.Conv2D(4, 1, strides=stride, name="one", **config)(x)
    two = layers.Conv2D(4, 1, strides=stride, name="two", **config)(x)
    return layers.Add()([layers.ReLU()(one), two])


def stem(x: Tensor) -> Tensor:
    return layers.Conv2D(6, 3, padding="same", name="stem")(x)


def residual(shape: tuple[int, ...] = SHAPE, stride: object = 2, **config: object) -> keras.Model:
    x = keras.Input(shape)
    return keras.Model(x, readers(block(stem(x), "b", **config), stride))


def test_by_hand(hoist) -> None:
    model = residual()
    hoisted = hoist(model, 2)
    assert strides(hoisted) == {"b wide": (2, 2), "b sum_subsample": (2, 2)}
    # 17x14 positions become 9x7 for the 3x3 (4 to 4 channels) and the 1x1 (4 to 6) behind it.
    saved = (17 * 14 - 9 * 7) * (9 * 4 * 4 + 4 * 6)
    assert count_multiply_adds(model) - count_multiply_adds(hoisted) == saved
    # 17 rows: one zero on both sides; 14 columns: the last window ends at the last column.
    assert hoisted.get_layer("b wide_pad").padding == ((1, 1), (1, 0))
    assert hoisted.get_layer("b wide").padding == "valid"
    old = {layer.name for layer in model.layers}
    new = {layer.name for layer in hoisted.layers} - old
    assert new == {"b wide_pad", "b sum_subsample"}
    assert old <= {layer.name for layer in hoisted.layers}


def test_odd_sizes_need_no_padding_of_their_own(hoist) -> None:
    """``same`` with a stride of 2 has one zero on both sides there."""
    hoisted = hoist(residual((17, 15, 3)), 2)
    assert hoisted.get_layer("b wide").padding == "same"
    assert "b wide_pad" not in {layer.name for layer in hoisted.layers}


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("shape", [(64, 64, 3), (47, 34, 3)])
def test_resnet50(check, folded: bool, shape: tuple[int, int, int]) -> None:
    model = resnet50(shape, 5, width=0.0625)
    logits = keras.Model(model.input, layers.Dense(5, name="logits")(model.layers[-1].input))
    logits = fold_batch_norm(logits).model if folded else logits
    hoisted = check(hoist_strides, logits, 6)
    assert count_multiply_adds(hoisted) < 0.95 * count_multiply_adds(logits)
    names = {layer.name for layer in logits.layers}
    assert names <= {layer.name for layer in hoisted.layers}
    assert strides(hoisted)["res2c_branch2b"] == (2, 2)
    assert {"res3a_branch2a", "res3a_branch1"}.isdisjoint(strides(hoisted))


@pytest.mark.slow
def test_resnet50_at_224() -> None:
    model = resnet50()
    # Three stages end in a block of which three quarters are saved: 3x3 and 1x1 convolution.
    saved = sum(
        side**2 * 3 // 4 * (9 * width * width + width * 4 * width)
        for side, width in ((56, 64), (28, 128), (14, 256))
    )
    before = count_multiply_adds(model)
    assert (before, saved) == (3_857_973_248, 375_717_888)
    assert count_multiply_adds(hoist_strides(model).model) == before - saved


@given(
    height=st.integers(3, 18),
    width=st.integers(3, 18),
    size=st.integers(1, 5),
    own=st.integers(1, 2),
    stride=st.integers(2, 3),
    padding=st.sampled_from(["same", "valid"]),
    reader=st.sampled_from(["same", "valid"]),
    depthwise=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_window_lies_where_it_lay(
    check, height, width, size, own, stride, padding, reader, depthwise
) -> None:
    if padding == "valid" and min(height, width) < size:
        return
    kind = partial(layers.DepthwiseConv2D, size) if depthwise else partial(layers.Conv2D, 3, size)
    x = keras.Input((height, width, 3))
    y = kind(strides=own, padding=padding, activation="relu", name="wide")(x)
    y = layers.Conv2D(2, 1, strides=stride, padding=reader, name="reader")(y)
    model = keras.Model(x, y)
    moves = model.get_layer("wide").output.shape[1:3] != (1, 1) and not (depthwise and size == 1)
    hoisted = check(hoist_strides, model, int(moves))
    if moves:
        assert strides(hoisted) == {"wide": (own * stride, own * stride)}
        assert count_multiply_adds(hoisted) < count_multiply_adds(model)


@pytest.mark.parametrize(
    ("stride", "size"), [(3, 3), (2, 5), (2, 2), ((2, 1), 3), ((1, 3), (1, 3))]
)
def test_other_strides_and_kernels(hoist, stride: object, size: object) -> None:
    pair = stride if isinstance(stride, tuple) else (stride, stride)
    hoisted = hoist(residual(stride=stride, size=size), 2)
    assert strides(hoisted) == {"b wide": pair, "b sum_subsample": pair}


def test_readers_of_different_strides_share_what_is_common(hoist) -> None:
    x = keras.Input((25, 25, 3))
    y = block(stem(x), "b")
    one = layers.Conv2D(4, 1, strides=4, name="four")(y)
    two = layers.Conv2D(4, 1, strides=2, name="two")(y)
    pooled = layers.GlobalAveragePooling2D
    model = keras.Model(x, layers.Concatenate()([pooled()(one), pooled()(two)]))
    hoisted = hoist(model, 2)
    assert strides(hoisted) == {"b wide": (2, 2), "b sum_subsample": (2, 2), "four": (2, 2)}


def test_strides_in_a_row_move_to_the_top(hoist) -> None:
    x = keras.Input((30, 30, 3))
    y = layers.Conv2D(4, 3, padding="same", name="wide")(x)
    y = layers.Conv2D(4, 1, strides=2, activation="relu", name="first")(y)
    y = layers.MaxPooling2D(1, 2, name="pick")(layers.LeakyReLU()(y))
    model = keras.Model(x, layers.Conv2D(4, 1, strides=3, name="last")(y))
    hoisted = hoist(model, 2)
    assert strides(hoisted) == {"wide": (12, 12)}
    assert "pick" not in {layer.name for layer in hoisted.layers}


def test_a_tensor_is_subsampled_once_for_all_its_readers(hoist) -> None:
    x = keras.Input((16, 16, 6))
    y = layers.Conv2D(6, 3, padding="same", name="a")(x)
    one = layers.Add(name="first")([x, y])
    two = layers.Concatenate(name="second")([layers.Conv2D(6, 3, name="b", padding="same")(x), x])
    one = layers.Conv2D(4, 1, strides=2, name="one")(one)
    two = layers.Conv2D(4, 1, strides=2, name="two")(two)
    hoisted = hoist(keras.Model(x, layers.Maximum()([one, two])), 2)
    found = strides(hoisted)
    assert (found.pop("a"), found.pop("b")) == ((2, 2), (2, 2))
    assert len(found) == 1


def test_names_that_are_taken(hoist) -> None:
    x = keras.Input((16, 16, 3))
    y = layers.Conv2D(6, 3, padding="same", name="b wide_pad")(x)
    hoisted = hoist(keras.Model(x, readers(block(y, "b"))), 2)
    assert hoisted.get_layer("b wide_pad_2").padding == ((1, 0), (1, 0))


def test_operators_and_functions_of_keras(hoist) -> None:
    x = keras.Input(SHAPE)
    y = stem(x)
    z = layers.Conv2D(6, 3, padding="same", name="wide", use_bias=False)(y)
    z = keras.ops.relu(z + y)
    hoisted = hoist(keras.Model(x, layers.Conv2D(4, 1, strides=2, name="one")(z)), 1)
    assert sorted(strides(hoisted).values()) == [(2, 2), (2, 2)]  # the convolution, its shortcut
    assert strides(hoisted)["wide"] == (2, 2)


def test_what_is_elementwise_commutes(hoist) -> None:
    x = keras.Input(SHAPE)
    y = layers.Conv2D(6, 3, padding="same", activation="hard_swish", name="wide")(x)
    y = layers.PReLU(shared_axes=[1, 2], alpha_initializer="ones")(y)
    y = layers.SpatialDropout2D(0.5)(layers.Dropout(0.5)(layers.ELU()(y)))
    y = layers.Softmax()(layers.Activation("softplus")(layers.LeakyReLU(0.3)(y)))
    hoisted = hoist(keras.Model(x, layers.Conv2D(4, 1, strides=2, name="one")(y)), 1)
    assert strides(hoisted) == {"wide": (2, 2)}


def test_grouped_and_depthwise_convolutions(hoist) -> None:
    x = keras.Input((18, 18, 3))
    y = layers.Conv2D(8, 3, padding="same", groups=1, name="stem")(x)
    y = layers.Conv2D(8, 3, padding="same", groups=4, activation="relu", name="grouped")(y)
    y = layers.Conv2D(8, 1, groups=2, name="pointwise")(y)
    y = layers.Conv2D(8, 1, strides=2, name="first")(y)
    y = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(y)
    model = keras.Model(x, layers.Conv2D(8, 1, strides=2, groups=4, name="last")(y))
    assert strides(hoist(model, 3)) == {"grouped": (2, 2), "depthwise": (2, 2)}


def test_models_inside_models(hoist) -> None:
    inner = keras.Input((20, 20, 6))
    nested = keras.Model(inner, readers(block(inner, "b")), name="backbone")
    x = keras.Input((20, 20, 3))
    hoisted = hoist(keras.Model(x, layers.GlobalAveragePooling2D()(nested(stem(x)))), 2)
    assert strides(hoisted.get_layer("backbone"))["b wide"] == (2, 2)


def test_models_of_a_free_size(hoist) -> None:
    """The zeros of a free size are those of any."""
    hoisted = hoist(residual((None, None, 3)), 2)
    assert hoisted.get_layer("b wide_pad").padding == ((1, 1), (1, 1))
    model = residual((None, None, 3), strides=1, size=4)
    assert hoist(model, 2).get_layer("b wide_pad").padding == ((1, 2), (1, 2))


def test_a_sequential_model(hoist) -> None:
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(4, 3, padding="same", name="wide"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(4, 1, strides=2),
        ]
    )
    assert strides(hoist(model, 1)) == {"wide": (2, 2)}


def _chain(*between: layers.Layer, shape: tuple[int, ...] = SHAPE, stride: int = 2) -> keras.Model:
    x = keras.Input(shape)
    y = layers.Conv2D(4, 3, padding="same", name="wide")(x)
    for layer in between:
        y = layer(y)
    return keras.Model(x, layers.Conv2D(4, 1, strides=stride, name="reader")(y))


def _read_in_full() -> keras.Model:
    x = keras.Input(SHAPE)
    y = layers.Conv2D(4, 3, padding="same")(x)
    one = layers.Conv2D(4, 1, strides=2)(y)
    three = layers.Conv2D(4, 3, padding="same", strides=2)(y)
    return keras.Model(x, layers.Add()([one, three]))


def _strides_without_a_common_part() -> keras.Model:
    x = keras.Input((18, 18, 3))
    y = layers.Conv2D(4, 3, padding="same")(x)
    pooled = [
        layers.GlobalMaxPooling2D()(layers.Conv2D(4, 1, strides=stride)(y)) for stride in (2, 3)
    ]
    return keras.Model(x, layers.Add()(pooled))


def _an_output() -> keras.Model:
    x = keras.Input(SHAPE)
    y = layers.Conv2D(4, 3, padding="same")(x)
    part = layers.GlobalMaxPooling2D()(layers.Conv2D(4, 1, strides=2)(y))
    return keras.Model(x, layers.Concatenate()([layers.Flatten()(y), part]))


def _a_layer_called_twice() -> keras.Model:
    x = keras.Input(SHAPE)
    conv = layers.Conv2D(3, 3, padding="same")
    return keras.Model(x, layers.Conv2D(4, 1, strides=2)(conv(conv(x))))


def _a_reader_called_twice() -> keras.Model:
    x = keras.Input((16, 16, 4))
    reader = layers.Conv2D(4, 1, strides=2)
    y = layers.Conv2D(4, 3, padding="same")(x)
    return keras.Model(x, reader(reader(y)))


def _nothing_above() -> keras.Model:
    x = keras.Input(SHAPE)
    return keras.Model(x, layers.Conv2D(4, 1, strides=2)(layers.ReLU()(x)))


def _batch_statistics() -> keras.Model:
    x = keras.Input(SHAPE)
    y = layers.Conv2D(4, 3, padding="same")(x)
    y = layers.BatchNormalization()(y, training=True)
    return keras.Model(x, layers.Conv2D(4, 1, strides=2)(y))


@pytest.mark.parametrize(
    "build",
    [
        _read_in_full,
        _strides_without_a_common_part,
        _a_layer_called_twice,
        _a_reader_called_twice,
        _nothing_above,
        partial(_chain, layers.MaxPooling2D(3, 1)),
        partial(_chain, layers.LayerNormalization(axis=(1, 2, 3))),
        partial(_chain, layers.BatchNormalization(axis=1)),
        partial(_chain, layers.PReLU(alpha_initializer="ones")),
        partial(_chain, layers.Softmax(axis=1)),
        partial(_chain, layers.UpSampling2D()),
        partial(_chain, layers.ZeroPadding2D()),
        partial(_chain, layers.Conv2D(4, 3, dilation_rate=2, padding="same")),
        partial(_chain, stride=1),
    ],
)
def test_what_cannot_move_stays(build: Callable[[], keras.Model], hoist) -> None:
    model = build()
    assert hoist(model, 0) is model


def test_an_output_is_read_in_full(hoist) -> None:
    model = _an_output()
    assert hoist(model, 0) is model


def test_batch_statistics_are_of_all_positions() -> None:
    model = _batch_statistics()
    assert hoist_strides(model).model is model
    inner = keras.Input(SHAPE)
    nested = keras.Model(inner, readers(block(stem(inner), "b")))
    x = keras.Input(SHAPE)
    told = keras.Model(x, nested(x, training=True))
    assert hoist_strides(told).model is told


def test_broadcasting_stops_it(hoist) -> None:
    x = keras.Input(SHAPE)
    y = layers.Conv2D(4, 3, padding="same", name="wide")(x)
    gate = layers.Conv2D(4, 1, activation="sigmoid")(layers.GlobalMaxPooling2D(keepdims=True)(x))
    hoist(keras.Model(x, layers.Conv2D(4, 1, strides=2)(layers.Multiply()([y, gate]))), 0)


def test_the_same_model_twice_gives_the_same(hoist) -> None:
    model = residual()
    hoist(model, 2)
    hoisted = hoist_strides(model).model
    assert hoist_strides(hoisted).model is hoisted
    np.testing.assert_array_equal(
        hoisted.get_layer("b wide").kernel, model.get_layer("b wide").kernel
    )
