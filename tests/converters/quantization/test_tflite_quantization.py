"""Each TFLite precision is what its name says, operator by operator, and still answers right."""

from collections import Counter

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from converters.errors import ModelConversionError
from converters.preprocessing import PREPROCESSINGS
from converters.quantization.calibrated_network import CalibratedNetwork
from converters.quantization.calibration import calibrate
from converters.quantization.scheme import Scheme
from converters.quantization.settings import Level, QuantizationSettings
from converters.quantization.tensor_range import Range
from converters.quantization.tflite import float_operators, quantize_dynamic, quantize_static
from converters.serving import serving_model
from converters.tflite import conversion as to_tflite
from converters.tflite import flatbuffer

KINDS = schema.TensorType
OPERATORS = {code: name for name, code in vars(schema.BuiltinOperator).items() if name[0] != "_"}


def operators(data: bytes) -> list[tuple[str, list[schema.TensorT], list[schema.TensorT]]]:
    """Name, inputs and outputs of every operator."""
    model = flatbuffer.read_flatbuffer(data)
    (graph,) = model.subgraphs
    return [
        (
            OPERATORS[model.operatorCodes[operator.opcodeIndex].builtinCode],
            [graph.tensors[i] for i in operator.inputs if i >= 0],
            [graph.tensors[i] for i in operator.outputs],
        )
        for operator in graph.operators
    ]


def weights_of(data: bytes, *names: str) -> list[schema.TensorT]:
    return [inputs[1] for name, inputs, _ in operators(data) if name in names]


def classify(data: bytes, pictures: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    (image,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for picture in pictures:
        levels = picture.astype(np.int16) - 128 if image["dtype"] == np.int8 else picture
        interpreter.set_tensor(image["index"], levels[np.newaxis].astype(image["dtype"]))
        interpreter.invoke()
        row = interpreter.get_tensor(answer["index"])[0].astype(np.float32)
        if answer["dtype"] == np.int8:
            scale, zero_point = answer["quantization"]
            row = (row - zero_point) * scale
        rows.append(row)
    return np.stack(rows)


def fast(float32: bytes, pictures: np.ndarray) -> CalibratedNetwork:
    return calibrate(float32, pictures, QuantizationSettings(Level.FAST, few_pictures=True))


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("fp16", 2e-3), ("dynamic", 0.1), ("int8", 0.15), ("int8_full", 0.15)],
)
def test_answers_are_near(tiny, name: str, tolerance: float) -> None:
    actual = classify(tiny.tflite[name], tiny.pictures)
    np.testing.assert_allclose(actual, tiny.expected, atol=tolerance)
    np.testing.assert_allclose(actual.sum(axis=1), 1, atol=0.01)


@pytest.mark.parametrize(
    ("name", "image", "answer"),
    [
        ("fp16", np.float32, np.float32),
        ("dynamic", np.float32, np.float32),
        ("int8", np.int8, np.float32),
        ("int8_full", np.int8, np.int8),
    ],
)
def test_endpoints(tiny, name: str, image: type, answer: type) -> None:
    interpreter = Interpreter(model_content=tiny.tflite[name])
    assert interpreter.get_input_details()[0]["dtype"] == image
    assert interpreter.get_output_details()[0]["dtype"] == answer


def test_fp16_stores_every_weight_as_float16(tiny) -> None:
    data = tiny.tflite["fp16"]
    stored = [inputs[0].type for name, inputs, _ in operators(data) if name == "DEQUANTIZE"]
    assert set(stored) == {KINDS.FLOAT16}
    assert len(stored) == 50  # biases stay float32: they are few, and nothing is lost
    assert len(data) < 0.6 * len(tiny.tflite["fp32"])


def test_dynamic_has_int8_weights_and_float_activations(tiny) -> None:
    data = tiny.tflite["dynamic"]
    convolutions = weights_of(data, "CONV_2D")
    assert len(convolutions) == 49
    for weight in convolutions:
        assert weight.type == KINDS.INT8
        assert len(weight.quantization.scale) == weight.shape[0]
    for _, inputs, outputs in operators(data):
        assert inputs[0].type == KINDS.FLOAT32
        assert {tensor.type for tensor in outputs} == {KINDS.FLOAT32}


def test_dynamic_has_one_scale_per_dense_layer(tiny) -> None:
    """Per-channel dense weights load in tflite-runtime 2.14, which then answers garbage."""
    (weight,) = weights_of(tiny.tflite["dynamic"], "FULLY_CONNECTED")
    assert weight.type == KINDS.INT8
    assert len(weight.quantization.scale) == 1


def test_convolutions_have_int8_weights_by_channel_and_int32_biases(tiny) -> None:
    for data in (tiny.tflite["int8"], tiny.tflite["int8_full"]):
        seen = Counter()
        for operator, inputs, outputs in operators(data):
            if operator in ("CONV_2D", "FULLY_CONNECTED") and outputs[0].type == KINDS.INT8:
                seen[operator] += 1
                _, weight, bias = inputs
                assert (weight.type, bias.type) == (KINDS.INT8, KINDS.INT32)
                assert len(weight.quantization.scale) == weight.shape[0]
        assert seen["CONV_2D"] == 49
        assert seen["FULLY_CONNECTED"] == (data is tiny.tflite["int8_full"])


def test_the_head_computes_in_float_with_weights_of_8_bits(tiny) -> None:
    data = tiny.tflite["int8"]
    assert float_operators(data) == ("DEQUANTIZE", "FULLY_CONNECTED", "SOFTMAX")
    *_, (_, (stored,), (weight,)), (dense, inputs, outputs), (softmax, _, _) = operators(data)
    assert (dense, softmax) == ("FULLY_CONNECTED", "SOFTMAX")
    assert stored.type == KINDS.INT8
    assert inputs[1].name == weight.name
    assert {tensor.type for tensor in (*inputs, *outputs)} == {KINDS.FLOAT32}


def test_only_named_operators_stay_in_float(tiny) -> None:
    network, scheme = tiny.fast.network, tiny.fast.scheme
    some = frozenset(op.index for op in network.operations if op.layer.startswith("res3b"))
    assert some
    kept = Scheme(scheme.parameters, scheme.ranges, scheme.float_operations | some)
    data = quantize_static(tiny.tflite_float32, network, kept, integer_only=False)
    names = {network.names[network.operations[index].output] for index in kept.float_operations}
    float_outputs = {
        outputs[0].name.decode()
        for name, _, outputs in operators(data)
        if outputs[0].type == KINDS.FLOAT32 and name != "DEQUANTIZE"
    }
    assert float_outputs == names
    np.testing.assert_allclose(classify(data, tiny.pictures), tiny.expected, atol=0.15)


def test_int16_activations_are_nearer_than_int8(tiny) -> None:
    network, scheme = tiny.fast.network, tiny.fast.scheme
    data = quantize_static(
        tiny.tflite_float32, network, scheme, integer_only=False, activation_bits=16
    )
    assert {t[0].type for name, _, t in operators(data) if name == "CONV_2D"} == {KINDS.INT16}
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    (image,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for picture in tiny.pictures:
        # Reversing the channels is no operator with 16 bits, so the input stays float.
        interpreter.set_tensor(image["index"], picture[np.newaxis].astype(image["dtype"]))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(answer["index"])[0].copy())
    wrong16, wrong8 = (
        np.abs(answers - tiny.expected).mean()
        for answers in (np.stack(rows), classify(tiny.tflite["int8"], tiny.pictures))
    )
    assert wrong16 < wrong8


def test_integer_only_holds_integers_operator_by_operator(tiny) -> None:
    data = tiny.tflite["int8_full"]
    assert float_operators(data) == ()
    for _, inputs, outputs in operators(data):
        for tensor in (*inputs, *outputs):
            assert tensor.type in (KINDS.INT8, KINDS.INT32)
    assert operators(data)[-1][0] == "SOFTMAX"


def test_a_pixel_is_represented_exactly(tiny) -> None:
    for name in ("int8", "int8_full"):
        interpreter = Interpreter(model_content=tiny.tflite[name])
        assert interpreter.get_input_details()[0]["quantization"] == (1.0, -128)


@pytest.fixture(scope="module")
def with_cumsum() -> bytes:
    """A network with an operator that the quantizer leaves in float."""
    x = keras.Input((4, 4, 3))
    y = layers.GlobalAveragePooling2D()(keras.ops.cumsum(layers.Conv2D(4, 3)(x), axis=1))
    model = keras.Model(x, layers.Dense(3, activation="softmax")(y))
    return to_tflite.convert_float32(serving_model(model, PREPROCESSINGS["unit"]))


def test_an_operator_left_in_float_is_no_integer_only_file(with_cumsum: bytes) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
    found = fast(with_cumsum, pictures)
    network, scheme = found.network, found.scheme
    data = quantize_static(with_cumsum, network, scheme, integer_only=False)
    assert "CUMSUM" in float_operators(data)
    with pytest.raises(ModelConversionError) as caught:
        quantize_static(with_cumsum, network, scheme, integer_only=True)
    (layer,) = [op.layer for op in network.operations if op.kind == "CUMSUM"]
    assert str(caught.value) == (
        "operators CUMSUM, DEQUANTIZE, QUANTIZE stay in float; expected integers "
        f"only; replace the layers ({layer}) or leave int8_full.tflite out with --formats "
        "(int8.tflite may hold float operators)"
    )


@pytest.mark.parametrize("ranges", [{}, {0: Range(0.0, 1.0)}])
def test_missing_ranges_are_an_error(tiny, ranges: dict[int, Range]) -> None:
    scheme = Scheme(tiny.fast.scheme.parameters, ranges, tiny.fast.scheme.float_operations)
    with pytest.raises(
        ModelConversionError, match=r"^litert-quantizer cannot quantize this model: "
    ):
        quantize_static(tiny.tflite_float32, tiny.fast.network, scheme, integer_only=True)


def test_dead_channels_survive(answers) -> None:
    """Channels whose weights are all zero are real life; their scale must not be."""
    x = keras.Input((8, 8, 3))
    conv = layers.Conv2D(4, 3, activation="relu")
    model = keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling2D()(conv(x))))
    kernel, bias = conv.get_weights()
    kernel[..., 1:3] = 0
    conv.set_weights([kernel, bias])
    serving = serving_model(model, PREPROCESSINGS["tf"])
    pictures = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    float32 = to_tflite.convert_float32(serving)
    found = fast(float32, pictures)
    for data in (
        quantize_dynamic(float32),
        quantize_static(float32, found.network, found.scheme, integer_only=False),
    ):
        np.testing.assert_allclose(classify(data, pictures), answers(serving, pictures), atol=0.05)


def test_nothing_is_printed(tiny, capfd: pytest.CaptureFixture[str]) -> None:
    quantize_static(tiny.tflite_float32, tiny.fast.network, tiny.fast.scheme, integer_only=True)
    assert capfd.readouterr().out == ""
