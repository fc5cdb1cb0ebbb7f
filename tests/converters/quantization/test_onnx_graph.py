"""The ONNX graph that is written from a TFLite network: it answers as Keras does, for any batch."""

import keras
import numpy as np
import onnxruntime
import pytest
from keras import layers, ops
from layer_builds import BUILDS, CHANNELS, SIDE, Build, classifier

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


@pytest.mark.parametrize("build", BUILDS)
def test_the_graph_answers_as_keras_does_for_any_batch(build: Build) -> None:
    model = classifier(build)
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
