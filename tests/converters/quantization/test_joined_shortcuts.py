"""Files of a network whose projection shortcuts were joined to the convolutions beside them."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert import schema_py_generated as schema
from keras import layers

from converters.errors import RequestError
from converters.onnx import conversion as to_onnx
from converters.onnx.float16 import convert_float16
from converters.preprocessing import PREPROCESSINGS
from converters.quantization.answer_metrics import centred_log_probabilities, sqnr_db
from converters.quantization.calibrated_network import CalibratedNetwork
from converters.quantization.calibration import (
    calibrate,
    for_int16_activations,
    for_litert,
    operations_of,
)
from converters.quantization.equalization import find_channels
from converters.quantization.onnx import quantize_int8
from converters.quantization.settings import QuantizationSettings, Target, WeightGrid
from converters.quantization.tflite import quantize_dynamic, quantize_float16, quantize_static
from converters.tflite.flatbuffer import read_flatbuffer

Quality = Callable[[np.ndarray], float]


def projecting_layers(x: keras.KerasTensor) -> keras.KerasTensor:
    """Two blocks that project their shortcut, the second with a stride in its 3x3."""
    x = layers.Conv2D(6, 3, activation="relu", name="stem")(x)
    for block, filters, stride in (("a", 8, 1), ("b", 12, 2)):
        y = layers.Conv2D(6, 1, activation="relu", name=f"{block}_first")(x)
        y = layers.Conv2D(6, 3, stride, "same", activation="relu", name=f"{block}_wide")(y)
        y = layers.Conv2D(filters, 1, name=f"{block}_last")(y)
        shortcut = layers.Conv2D(filters, 1, strides=stride, name=f"{block}_shortcut")(x)
        x = layers.ReLU()(layers.Add()([shortcut, y]))
    return layers.Dense(4, activation="softmax", name="head")(layers.GlobalAveragePooling2D()(x))


@pytest.fixture(scope="module")
def joined(small):
    return small(projecting_layers, preprocessing="unit")


@pytest.fixture(scope="module")
def calibrated(joined) -> CalibratedNetwork:
    method = QuantizationSettings(grid=WeightGrid.PAIR_SAFE)
    return calibrate(joined.float32, joined.pictures, method, joined.layers)


@pytest.fixture
def quality(joined) -> Quality:
    """The SQNR of answers beside Keras', of the network before any rewrite."""
    pixels = PREPROCESSINGS["unit"].apply(joined.pictures.astype(np.float32))
    expected = joined.model.predict(pixels, verbose=0)

    def measure(answers: np.ndarray) -> float:
        pairs = zip(*map(centred_log_probabilities, (expected, answers)), strict=True)
        return float(np.mean([sqnr_db(one, other) for one, other in pairs]))

    return measure


@pytest.fixture
def int8_onnx(joined, calibrated) -> onnx.ModelProto:
    float32 = to_onnx.convert_float32(joined.serving)
    return quantize_int8(float32, calibrated, joined.pictures, Target.AUTO).model


def test_operators(joined) -> None:
    kinds = [operation.kind for operation in joined.network.operations]
    assert (kinds.count("CONCATENATION"), kinds.count("ADD")) == (2, 0)
    (last,) = (op for op in joined.network.operations if op.layer == "b_last")
    assert (last.kind, last.activation) == ("CONV_2D", "RELU")  # fused as behind the sum
    assert joined.network.shapes[last.inputs[0]] == (1, 7, 7, 14)


def test_the_projection_answers_to_the_name_of_its_block_s_last_convolution(joined) -> None:
    assert operations_of(joined.network, ["b_last"]) == {joined.operation("b_last")}
    with pytest.raises(RequestError) as caught:
        operations_of(joined.network, ["b_shortcut"])
    message = str(caught.value)
    assert message.startswith("--keep-float: no layer fits 'b_shortcut'; expected globs of Keras ")
    assert message.endswith(
        "b_last, head; a shortcut's projection is part of its block's last convolution"
    )


def test_channels_are_equalized_through_the_concatenation(joined) -> None:
    """The joined kernel takes up the scales of its block's 3x3 and of the stream."""
    network = joined.network
    reads = {
        tuple(sorted(network.operations[index].layer for index in group.writers)): {
            network.operations[index].layer for index in group.readers
        }
        for group in find_channels(network).groups
    }
    assert reads["a_last", "b_wide"] == {"b_first", "b_last"}


def test_float_files(joined, quality, classify, classify_onnx) -> None:
    pictures = joined.pictures
    assert quality(classify(joined.float32, pictures)) > 110
    assert quality(classify(quantize_float16(joined.float32), pictures)) > 50
    assert quality(classify(quantize_dynamic(joined.float32), pictures)) > 28
    float32 = to_onnx.convert_float32(joined.serving)
    assert quality(classify_onnx(float32, pictures)) > 110
    assert quality(classify_onnx(convert_float16(float32), pictures)) > 50


@pytest.mark.parametrize(("full", "least"), [(False, 28), (True, 12)])
def test_int8_tflite(joined, calibrated, quality, classify, full: bool, least: float) -> None:
    scheme = for_litert(calibrated, joined.pictures, integer_only=full)
    data = quantize_static(joined.float32, calibrated.network, scheme, integer_only=full)
    assert quality(classify(data, joined.pictures)) > least
    model = read_flatbuffer(data)
    (graph,) = model.subgraphs
    found = 0
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        if code == schema.BuiltinOperator.CONCATENATION:
            tensors = [graph.tensors[i] for i in (*operator.inputs, *operator.outputs)]
            assert {tensor.type for tensor in tensors} == {schema.TensorType.INT8}
            assert len({float(tensor.quantization.scale[0]) for tensor in tensors}) == 1
            assert len({int(tensor.quantization.zeroPoint[0]) for tensor in tensors}) == 1
            found += 1
    assert found == 2


def test_int16x8_tflite(joined, calibrated, quality, classify) -> None:
    scheme = for_int16_activations(calibrated, joined.pictures)
    data = quantize_static(
        joined.float32, calibrated.network, scheme, integer_only=False, activation_bits=16
    )
    assert quality(classify(data, joined.pictures)) > 38


def test_int8_onnx(joined, quality, classify_onnx, int8_onnx, tmp_path: Path) -> None:
    assert quality(classify_onnx(int8_onnx, joined.pictures)) > 28
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3  # it says that an optimized file is for this processor
    onnxruntime.InferenceSession(
        to_onnx.serialize(int8_onnx), options, providers=["CPUExecutionProvider"]
    )
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert kinds.count("QLinearConcat") == 2
    assert "Concat" not in kinds
