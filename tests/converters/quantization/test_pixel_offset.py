"""Pixels minus 127.5: in 8 bits a whole number is subtracted, and no difference is rounded."""

from dataclasses import dataclass, replace

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from keras import layers

from converters.onnx.conversion import convert_float32 as convert_onnx
from converters.preprocessing import PREPROCESSINGS
from converters.quantization.calibrated_network import CalibratedNetwork
from converters.quantization.calibration import calibrate, for_int16_activations
from converters.quantization.onnx import quantize_int8
from converters.quantization.pixel_offset import pixel_offset, with_whole_offset
from converters.quantization.settings import QuantizationSettings, Target
from converters.quantization.tensor_range import Range
from converters.quantization.tflite import quantize_static
from converters.quantization.tflite_network import read_network
from converters.serving import serving_model
from converters.tflite.conversion import convert_float32

LEVELS = np.arange(256).reshape(1, 16, 16, 1).repeat(3, axis=-1).astype(np.float32)


@dataclass(frozen=True)
class Converted:
    """A convolution with zeros around its picture, behind an offset."""

    serving: keras.Model
    float32: bytes
    pictures: np.ndarray


@pytest.fixture(scope="module")
def convert(randomize):
    def make(*offset: float) -> Converted:
        keras.utils.set_random_seed(0)
        x = keras.Input((16, 16, 3))
        y = layers.Conv2D(4, 3, padding="same", activation="relu", name="stem")(x)
        y = layers.GlobalAveragePooling2D()(y)
        model = randomize(keras.Model(x, layers.Dense(4, activation="softmax")(y)))
        serving = serving_model(model, replace(PREPROCESSINGS["none"], offset=offset))
        pictures = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3)).astype(np.uint8)
        return Converted(serving, convert_float32(serving), pictures)

    return make


@pytest.fixture(scope="module")
def halves(convert) -> Converted:
    return convert(127.5, 127.5, 127.5)


@pytest.fixture(scope="module")
def calibrated(halves) -> CalibratedNetwork:
    return calibrate(halves.float32, halves.pictures, QuantizationSettings())


def test_half_a_level_is_made_whole(halves, calibrated) -> None:
    network = read_network(halves.float32)
    offset = pixel_offset(network)
    assert (offset.operation.kind, offset.whole, offset.range) == ("SUB", 128, Range(-128, 127))
    difference, constant = offset.operation.output, offset.operation.inputs[1]
    assert np.unique(network.constants[constant]) == 127.5
    changed = with_whole_offset(network, {difference})
    assert np.unique(changed.constants[constant]) == 128
    assert with_whole_offset(network, set()) is network  # a float file keeps it
    assert calibrated.scheme.ranges[difference] == Range(-128, 127)


@pytest.mark.parametrize("offset", [(123.68, 116.78, 103.94), (-1.0, -1.0, -1.0), (300.0,) * 3])
def test_other_offsets_stay(convert, offset: tuple[float, ...]) -> None:
    assert pixel_offset(read_network(convert(*offset).float32)) is None


@pytest.mark.parametrize("resolver", [OpResolverType.AUTO, OpResolverType.BUILTIN_REF])
@pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors")
def test_every_kernel_of_litert_keeps_all_levels(
    halves, calibrated, resolver: OpResolverType
) -> None:
    data = quantize_static(
        halves.float32, calibrated.network, calibrated.scheme, integer_only=False
    )
    interpreter = Interpreter(
        model_content=data,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=resolver,
    )
    interpreter.allocate_tensors()
    pixels = (LEVELS - 128).astype(np.int8)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    name = calibrated.network.names[pixel_offset(calibrated.network).operation.output]
    (found,) = [t for t in interpreter.get_tensor_details() if t["name"] == name]
    assert found["quantization"] == (1.0, 0)
    np.testing.assert_array_equal(interpreter.get_tensor(found["index"]), pixels)


@pytest.mark.parametrize(("target", "shift"), [(Target.VNNI, 0), (Target.ARM, -128)])
def test_onnx_keeps_all_levels(halves, calibrated, target: Target, shift: int) -> None:
    float32 = convert_onnx(halves.serving)
    model = quantize_int8(float32, calibrated, halves.pictures, target).model
    first = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    kind = onnx.TensorProto.UINT8 if shift == 0 else onnx.TensorProto.INT8
    model.graph.output.append(onnx.helper.make_tensor_value_info(first.output[0], kind, None))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run([first.output[0]], {"image": LEVELS})
    np.testing.assert_array_equal(found.astype(int), LEVELS + shift)


def test_sixteen_bits_hold_the_half(halves, calibrated) -> None:
    scheme = for_int16_activations(calibrated, halves.pictures)
    data = quantize_static(
        halves.float32, calibrated.network, scheme, integer_only=False, activation_bits=16
    )
    interpreter = Interpreter(model_content=data)
    constant = pixel_offset(calibrated.network).operation.inputs[1]
    name = calibrated.network.names[constant]
    (found,) = [t for t in interpreter.get_tensor_details() if t["name"].startswith(name)]
    step, _ = found["quantization"]
    values = interpreter.get_tensor(found["index"]) * step
    np.testing.assert_allclose(values, 127.5, atol=0.01)
