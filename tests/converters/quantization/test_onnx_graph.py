"""The ONNX graph that is written from a TFLite network: it answers as Keras does, for any batch."""

from collections.abc import Callable

import keras
import numpy as np
import onnxruntime
import pytest
from keras import layers, ops

from converters.errors import ModelConversionError
from converters.onnx import conversion as to_onnx
from converters.preprocessing import PREPROCESSINGS
from converters.quantization.onnx import float_operations, write_graph
from converters.quantization.onnx_builder import Rounding
from converters.quantization.onnx_kernels import Kernels
from converters.quantization.onnx_own_ranges import quantize_on_own_ranges
from converters.quantization.scheme import Scheme
from converters.quantization.settings import Target
from converters.quantization.tensor_range import Range
from converters.quantization.tflite_network import read_network
from converters.rewrites.all_rewrites import optimize
from converters.serving import serving_model
from converters.tflite import conversion as to_tflite

SIDE, CHANNELS = 12, 8
Build = Callable[[object], object]


def normalized(x: object) -> object:
    """Picture to features, with the preprocessing that TFLite folds into a kernel."""
    return layers.Conv2D(CHANNELS, 3, padding="same")(layers.Rescaling(1 / 255)(x))


def convolutions(x: object) -> object:
    x = layers.Conv2D(CHANNELS, 3, groups=4, activation="relu")(x)
    x = layers.Conv2D(CHANNELS, 3, dilation_rate=2, padding="same", activation="elu")(x)
    x = layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2, padding="same")(x)
    x = layers.PReLU(shared_axes=[1, 2], alpha_initializer=keras.initializers.Constant(0.2))(x)
    x = layers.SeparableConv2D(CHANNELS, 3, padding="same", activation="leaky_relu")(x)
    return layers.Conv2DTranspose(CHANNELS, 3, strides=2, padding="same", activation="relu6")(x)


def gates(x: object) -> object:
    x = ops.hard_silu(x) + ops.hard_sigmoid(x) + ops.silu(x) + ops.softplus(x) + x * 0.3
    x = layers.Multiply()([x, layers.Rescaling(1 / 6)(layers.ReLU(6.0)(layers.Rescaling(1, 3)(x)))])
    squeezed = layers.Dense(4, activation="relu")(layers.GlobalAveragePooling2D()(x))
    gate = layers.Reshape((1, 1, CHANNELS))(layers.Dense(CHANNELS, activation="sigmoid")(squeezed))
    return layers.Multiply()([x, gate])


def normalizations(x: object) -> object:
    x = layers.GroupNormalization(2)(x)
    x = layers.LayerNormalization()(x)
    x = layers.RMSNormalization()(x) + layers.UnitNormalization()(x)
    x = layers.Conv2D(CHANNELS, 1, activation="gelu")(x)
    x = layers.BatchNormalization()(ops.selu(x))
    return x + ops.gelu(layers.Conv2D(CHANNELS, 1)(x), approximate=True)


def shapes(x: object) -> object:
    x = layers.Concatenate()([x[:, ::-1, 1:-1, ::-1], ops.roll(x, 1, axis=1)[:, :, :-2]])
    x = layers.ZeroPadding2D(((1, 0), (0, 1)))(layers.Cropping2D(1)(x))
    up = layers.UpSampling2D(2)(layers.MaxPooling2D(2, padding="same")(x))
    x = layers.Resizing(SIDE, SIDE)(up) + layers.UpSampling2D(2, interpolation="bilinear")(
        layers.AveragePooling2D(3, 2, padding="same")(layers.Resizing(SIDE, SIDE)(x))
    )
    halves = ops.split(x, 2, axis=-1)
    x = ops.max(ops.stack(halves, axis=1), axis=1)
    x = layers.Permute((2, 1, 3))(x)
    return ops.where(x > 0.1, x, ops.take(x, [1, 0, 3, 2, 5, 4, 7, 6], axis=-1))


def attention(x: object) -> object:
    tokens = layers.Reshape((-1, CHANNELS))(layers.MaxPooling2D(3)(x))
    first = ops.zeros_like(tokens[:, :1]) + 0.5  # a class token, which TFLite makes a constant
    tokens = layers.Concatenate(axis=1)([first, tokens])
    tokens = tokens + layers.MultiHeadAttention(2, 4)(tokens, tokens)
    hidden = layers.Dense(CHANNELS, activation="gelu")(layers.LayerNormalization()(tokens))
    return layers.Reshape((1, 1, CHANNELS))((tokens + hidden)[:, 0])


def hidden_dense(x: object) -> object:
    x = layers.Flatten()(layers.MaxPooling2D(4)(x))
    x = layers.Dense(CHANNELS, activation="relu")(x)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(CHANNELS, use_bias=False)(x)))
    return layers.Reshape((1, 1, CHANNELS))(layers.Average()([x, layers.Dense(CHANNELS)(x)]))


def nested(x: object) -> object:
    """A base model that is used twice, and a Sequential one."""
    inner = keras.Input((SIDE, SIDE, CHANNELS))
    y = layers.BatchNormalization()(layers.Conv2D(CHANNELS, 3, padding="same")(inner))
    base = keras.Model(inner, layers.ReLU()(y), name="base")
    last = keras.Sequential([layers.Conv2D(CHANNELS, 1, name="inside"), layers.ReLU()])
    return last(base(x, training=False) + 0.2 * base(base(x, training=False), training=False))


@pytest.mark.parametrize(
    "build",
    [
        convolutions,
        gates,
        normalizations,
        shapes,
        attention,
        hidden_dense,
        nested,
    ],
)
def test_the_graph_answers_as_keras_does_for_any_batch(build: Build) -> None:
    keras.utils.set_random_seed(1)
    x = keras.Input((SIDE, SIDE, 3))
    y = layers.GlobalAveragePooling2D()(build(normalized(x)))
    wide = keras.initializers.RandomNormal(stddev=5)  # tells pictures apart
    head = layers.Dense(4, activation="softmax", kernel_initializer=wide)
    model = keras.Model(x, head(y))
    serving = serving_model(optimize(model).model, PREPROCESSINGS["none"])
    network = read_network(to_tflite.convert_float32(serving))
    graph = write_graph(network, Kernels(network.parameters, None), {})
    session = onnxruntime.InferenceSession(
        to_onnx.serialize(graph), providers=["CPUExecutionProvider"]
    )
    pictures = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3)).astype(np.float32)
    pictures *= np.array([0.2, 0.6, 1], np.float32).reshape(3, 1, 1, 1)
    expected = model(pictures, training=False).numpy()
    assert np.ptp(expected, axis=0).max() > 0.01
    for batch in (1, 3):
        answers = session.run(None, {"image": pictures[:batch]})[0]
        np.testing.assert_allclose(answers, expected[:batch], atol=2e-5)


def test_an_operator_that_is_not_written_is_named_with_its_layer() -> None:
    x = keras.Input((SIDE, SIDE, 3))
    y = layers.Reshape((SIDE, SIDE, 3, 1))(x)
    y = layers.GlobalAveragePooling3D()(layers.Conv3D(4, 3, name="deep")(y))
    serving = serving_model(keras.Model(x, layers.Dense(3)(y)), PREPROCESSINGS["none"])
    network = read_network(to_tflite.convert_float32(serving), {"deep"})
    with pytest.raises(ModelConversionError) as caught:
        write_graph(network, Kernels(network.parameters, None), {})
    assert str(caught.value) == "layer 'deep' computes CONV_3D, which is not written here"


@pytest.mark.parametrize(
    ("low", "high", "signed", "step", "zero"),
    [
        (0.0, 255.0, False, 1.0, np.uint8(0)),
        (-1.0, 1.55, False, 0.01, np.uint8(100)),
        (-1.0, 1.55, True, 0.01, np.int8(-28)),
        (-5.1, 0.0, False, 0.02, np.uint8(255)),
    ],
)
def test_integers_of_a_range(
    low: float, high: float, signed: bool, step: float, zero: np.generic
) -> None:
    rounding = Rounding.of(Range(low, high), signed=signed)
    assert rounding.step == pytest.approx(step, rel=1e-6)
    assert (rounding.zero, rounding.zero.dtype) == (zero, zero.dtype)


def test_a_depthwise_convolution_between_swishes_rounds_nothing() -> None:
    """Nor does the sum behind; a depthwise one between kernels computes in integers."""

    def block(x: object, activation: str) -> object:
        x = layers.Conv2D(CHANNELS, 1, activation=activation, name=f"{activation}_in")(x)
        x = layers.DepthwiseConv2D(3, name=f"{activation}_between")(x)
        x = layers.Activation(activation)(x)
        return layers.Conv2D(CHANNELS, 1, name=f"{activation}_out")(x)

    x = keras.Input((SIDE, SIDE, 3))
    y = layers.GlobalAveragePooling2D()(block(block(x, "silu"), "relu"))
    serving = serving_model(keras.Model(x, layers.Dense(3)(y)), PREPROCESSINGS["none"])
    names = {layer.name for layer in serving._flatten_layers()}
    network = read_network(to_tflite.convert_float32(serving), names)
    ranges = dict.fromkeys(range(len(network.names)), Range(0.0, 1.0))
    kept = float_operations(network, Scheme(network.parameters, ranges, network.head))
    integer = {op.layer for op in network.weighted if op.index not in kept}
    assert integer == {"silu_in", "silu_out", "relu_in", "relu_between", "relu_out"}


def test_an_infinite_answer_is_not_quantized() -> None:
    x = keras.Input((SIDE, SIDE, 3))
    y = layers.Dense(3, kernel_initializer="ones")(layers.GlobalAveragePooling2D()(ops.log(-x)))
    float32 = to_onnx.convert_float32(serving_model(keras.Model(x, y), PREPROCESSINGS["none"]))
    pictures = np.full((2, SIDE, SIDE, 3), 9, np.uint8)
    with pytest.raises(ModelConversionError, match=r"^calibration: tensor 'probabilities' holds"):
        quantize_on_own_ranges(float32, pictures, Target.AUTO)
