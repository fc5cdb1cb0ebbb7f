"""Sums of two 1x1 convolutions become one, exactly, and others stay."""

from collections.abc import Callable
from functools import partial

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from converters.multiply_adds import count_multiply_adds
from converters.quantization.answer_metrics import sqnr_db
from converters.rewrites.all_rewrites import REWRITES, optimize
from converters.rewrites.join_projection_shortcuts import NAME, join_projection_shortcuts
from resnet_edge.model.resnet50 import resnet50

Tensor = keras.KerasTensor
SHAPE = (9, 8, 3)
EXACT_DB = 110


@pytest.fixture(name="join")
def _join(check) -> Callable[[keras.Model, int], keras.Model]:
    return partial(check, join_projection_shortcuts)


def block(
    x: Tensor, filters: int = 6, stride: object = 1, name: str = "", **config: object
) -> Tensor:
    """The end of a projecting block: the stride is on its 3x3 and on its shortcut."""
    y = layers.Conv2D(4, 3, strides=stride, padding="same", activation="relu")(x)
    y = layers.Conv2D(filters, 1, name=f"{name}main")(y)
    shortcut = layers.Conv2D(filters, 1, strides=stride, name=f"{name}shortcut", **config)(x)
    return layers.ReLU()(layers.Add(name=f"{name}sum")([shortcut, y]))


def model_of(build: Callable[[Tensor], Tensor], shape: tuple[int, ...] = SHAPE) -> keras.Model:
    x = keras.Input(shape)
    return keras.Model(x, build(x))


def joins(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers if type(layer) is layers.Concatenate]


def test_by_hand() -> None:
    """Kernels lie in the order of the sum, biases are added, the main branch gives the name."""
    x = keras.Input((1, 1, 2))
    y = layers.ReLU()(x)
    main, shortcut = layers.Conv2D(1, 1, name="main"), layers.Conv2D(1, 1, name="shortcut")
    model = keras.Model(x, layers.ReLU(name="out")(layers.Add()([shortcut(x), main(y)])))
    main.set_weights([np.array([[[[1.0], [2.0]]]]), np.array([0.5])])
    shortcut.set_weights([np.array([[[[3.0], [4.0]]]]), np.array([0.25])])
    joined = join_projection_shortcuts(model).model
    assert [layer.name for layer in joined.layers][-3:] == ["main_inputs", "main", "out"]
    kernel, bias = joined.get_layer("main").get_weights()
    assert kernel.ravel().tolist() == [3, 4, 1, 2]
    assert bias.tolist() == [0.75]
    picture = np.array([[[[10.0, -1.0]]]], np.float32)
    # Shortcut 30 - 4 + 0.25; main branch 10 + 0 + 0.5.
    for made in (model, joined):
        assert np.asarray(made(picture)).ravel().tolist() == [36.75]


def test_multiply_adds_stay_and_names_of_others_too(join) -> None:
    model = model_of(block)
    joined = join(model, 1)
    assert count_multiply_adds(joined) == count_multiply_adds(model)
    old, new = ({layer.name for layer in made.layers} for made in (model, joined))
    assert (old - new, new - old) == ({"shortcut", "sum"}, {"main_inputs"})


def test_a_strided_shortcut_is_subsampled_before(join) -> None:
    joined = join(model_of(partial(block, stride=2)), 1)
    pool = joined.get_layer("shortcut_subsample")
    assert (pool.pool_size, tuple(pool.strides)) == ((1, 1), (2, 2))
    assert tuple(joined.get_layer("main").strides) == (1, 1)


def _both_strided(x: Tensor) -> Tensor:
    y = layers.ReLU()(x)
    one, two = (layers.Conv2D(5, 1, strides=2)(z) for z in (x, y))
    return layers.ReLU()(one + two)


@pytest.mark.parametrize(("shape", "pools"), [(SHAPE, 0), ((None, 8, 3), 2)])
def test_a_common_stride_stays(join, shape: tuple[int, ...], pools: int) -> None:
    joined = join(model_of(_both_strided, shape), 1)
    found = [layer for layer in joined.layers if isinstance(layer, layers.MaxPooling2D)]
    assert len(found) == pools


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    biases=st.tuples(st.booleans(), st.booleans()),
    paddings=st.tuples(*2 * [st.sampled_from(["same", "valid"])]),
    swapped=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_any_size(check, height, width, stride, channels, biases, paddings, swapped) -> None:
    x = keras.Input((height, width, 3))
    wide, deep = (layers.DepthwiseConv2D(1, depth_multiplier=n)(x) for n in channels)
    small = layers.MaxPooling2D(1, stride)(deep)
    one = layers.Conv2D(4, 1, strides=stride, padding=paddings[0], use_bias=biases[0])(wide)
    two = layers.Conv2D(4, 1, padding=paddings[1], use_bias=biases[1])(small)
    total = layers.Add()([two, one] if swapped else [one, two])
    joined = check(join_projection_shortcuts, keras.Model(x, layers.ReLU()(total)), 1)
    (kernel, *bias) = joined.layers[-2].get_weights()
    assert kernel.shape == (1, 1, 3 * sum(channels), 4)
    assert len(bias) == any(biases)


def _logits(model: keras.Model) -> keras.Model:
    last = model.layers[-1]
    return keras.Model(model.input, layers.Dense(5, name="logits")(last.input))


def _resnet50() -> keras.Model:
    return _logits(resnet50((47, 34, 3), 5, width=0.0625))


def _resnet50v2() -> keras.Model:
    """Two stages with pre-activation, whose sums have no activation of their own."""
    x = keras.Input((20, 20, 3))
    y = layers.Conv2D(8, 3, name="stem")(x)
    for filters in (12, 16):
        pre = layers.ReLU()(layers.BatchNormalization()(y))
        shortcut = layers.Conv2D(filters, 1)(pre)
        z = layers.Conv2D(4, 1, use_bias=False)(pre)
        z = layers.ReLU()(layers.BatchNormalization()(z))
        z = layers.Conv2D(4, 3, padding="same", use_bias=False)(z)
        z = layers.ReLU()(layers.BatchNormalization()(z))
        y = layers.Add()([shortcut, layers.Conv2D(filters, 1, name=f"last_{filters}")(z)])
    y = layers.ReLU()(layers.BatchNormalization()(y))
    return keras.Model(x, layers.Dense(5)(layers.GlobalAveragePooling2D()(y)))


def _nested() -> keras.Model:
    backbone = model_of(lambda x: block(block(x, name="a "), 8, 2, "b "))
    backbone.name = "backbone"
    x = keras.Input(SHAPE)
    return keras.Model(x, layers.GlobalAveragePooling2D()(backbone(x)))


@pytest.mark.parametrize(
    ("build", "joined"),
    [
        (_resnet50, [f"res{stage}a_branch2c_inputs" for stage in (2, 3, 4, 5)]),
        (_resnet50v2, ["last_12_inputs", "last_16_inputs"]),
        (_nested, []),
    ],
)
def test_whole_networks(build, joined, randomize, answers) -> None:
    model = randomize(build())
    before = optimize(model, REWRITES[:-1])
    after = optimize(model)
    assert after.applied == (*before.applied, NAME)
    assert after.multiply_adds == before.multiply_adds
    assert joins(after.model) == joined
    pictures = np.random.default_rng(0).uniform(-120, 120, (4, *model.input_shape[1:]))
    expected = answers(model, pictures)
    assert np.ptp(expected) > 0
    assert sqnr_db(expected, answers(after.model, pictures)) > EXACT_DB


def test_inside_a_nested_model(join) -> None:
    joined = join(_nested(), 2)
    assert joins(joined.get_layer("backbone")) == ["a main_inputs", "b main_inputs"]


def test_the_same_model_twice_gives_the_same(join) -> None:
    joined = join(model_of(block), 1)
    assert join_projection_shortcuts(joined).model is joined


def _two(one: layers.Layer, two: layers.Layer | None = None, sum_of: object = layers.Add) -> Tensor:
    def build(x: Tensor) -> Tensor:
        y = layers.ReLU()(x)
        other = layers.Conv2D(4, 1) if two is None else two
        return layers.ReLU()(sum_of()([one(x), other(y)]))

    return build


def _read_elsewhere(x: Tensor) -> Tensor:
    one, two = layers.Conv2D(4, 1)(x), layers.Conv2D(4, 1)(layers.ReLU()(x))
    return layers.Concatenate()([layers.ReLU()(layers.Add()([one, two])), one])


def _called_twice(x: Tensor) -> Tensor:
    conv = layers.Conv2D(4, 1)
    return layers.ReLU()(layers.Add()([conv(x), conv(layers.ReLU()(x))]))


def _doubled(x: Tensor) -> Tensor:
    y = layers.Conv2D(4, 1)(x)
    return layers.ReLU()(layers.Add()([y, y]))


def _of_one_tensor(x: Tensor) -> Tensor:
    return layers.ReLU()(layers.Add()([layers.Conv2D(4, 1)(x), layers.Conv2D(4, 1)(x)]))


def _three(x: Tensor) -> Tensor:
    return layers.ReLU()(layers.Add()([layers.Conv2D(4, 1)(x) for _ in range(3)]))


def _an_output(x: Tensor) -> Tensor:
    return layers.Add()([layers.Conv2D(4, 1)(x), layers.Conv2D(4, 1)(layers.ReLU()(x))])


def _broadcast(x: Tensor) -> Tensor:
    gate = layers.Conv2D(4, 1)(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return layers.ReLU()(layers.Conv2D(4, 1)(x) + gate)


def _mobile(x: Tensor) -> Tensor:
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu6")(x)
    return layers.ReLU()(layers.Add()([layers.Conv2D(3, 1)(y), x]))


def _one_dimension(x: Tensor) -> Tensor:
    flat = layers.Reshape((-1, 3))(x)
    return layers.ReLU()(layers.Add()([layers.Conv1D(4, 1)(flat), layers.Conv1D(4, 1)(flat)]))


@pytest.mark.parametrize(
    "build",
    [
        _two(layers.Conv2D(4, 3, padding="same")),
        _two(layers.Conv2D(4, 1, activation="relu")),
        _two(layers.Conv2D(6, 1), layers.Conv2D(6, 1, groups=3)),
        _two(layers.Conv2D(4, 1, dtype="float64")),
        _two(layers.Conv2D(4, 1), sum_of=layers.Subtract),
        *(
            _read_elsewhere,
            _called_twice,
            _doubled,
            _of_one_tensor,
            _three,
            _an_output,
            _broadcast,
            _mobile,
        ),
        _one_dimension,
    ],
)
def test_what_cannot_be_joined_stays(build: Callable[[Tensor], Tensor], join) -> None:
    join(model_of(build), 0)
