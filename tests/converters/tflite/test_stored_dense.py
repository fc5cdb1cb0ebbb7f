"""Dense layers over stored weights as convolutions: another operator, the same bits."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from converters.tflite.flatbuffer import read_flatbuffer, write_flatbuffer
from converters.tflite.stored_dense import dense_as_convolutions

NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if name[0] != "_"}


def kinds(data: bytes) -> Counter[str]:
    model = read_flatbuffer(data)
    codes = [model.operatorCodes[op.opcodeIndex] for op in model.subgraphs[0].operators]
    return Counter(NAMES[code.builtinCode] for code in codes)


def changed(data: bytes) -> bytes:
    model = read_flatbuffer(data)
    dense_as_convolutions(model)
    return write_flatbuffer(model)


def logits_of(data: bytes, pictures: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    image, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for picture in pictures:
        batch = picture[np.newaxis].astype(np.int16) - 128
        interpreter.set_tensor(image["index"], batch.astype(np.int8))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(answer["index"])[0].copy())
    return np.stack(rows)


def test_an_int8_file_answers_the_same_in_every_bit(tiny) -> None:
    before = tiny.tflite["int8"]
    after = changed(before)
    added, gone = kinds(after) - kinds(before), kinds(before) - kinds(after)
    assert added == {"CONV_2D": 1, "RESHAPE": 2}
    assert gone == {"FULLY_CONNECTED": 1}
    pictures = tiny.pictures[:8]
    assert logits_of(after, pictures).tobytes() == logits_of(before, pictures).tobytes()
    assert abs(len(after) - len(before)) < 2000


@pytest.mark.parametrize("name", ["fp32", "fp16", "dynamic", "int8_full"])
def test_other_dense_layers_stay(tiny, name: str) -> None:
    assert kinds(changed(tiny.tflite[name])) == kinds(tiny.tflite[name])


def test_the_delegate_takes_as_much_as_before(tiny) -> None:
    parts = []
    for data in (tiny.tflite["int8"], changed(tiny.tflite["int8"])):
        interpreter = Interpreter(model_content=data)
        interpreter.allocate_tensors()
        names = [op["op_name"] for op in interpreter._get_ops_details()]
        parts.append(names.count("DELEGATE"))
    assert parts[0] == parts[1] > 0


def hand_file(rows: int, activation: int, with_bias: bool) -> bytes:
    """``(rows, 3)`` times int8 ``(2, 3)``, dequantized, plus a bias."""
    kinds_of, codes = schema.TensorType, schema.BuiltinOperator
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers = 3, [graph], [schema.BufferT()]
    model.operatorCodes, graph.tensors, graph.operators = [], [], []

    def tensor(shape, kind, values=None, scale=None):
        added = schema.TensorT()
        added.shape, added.type, added.name, added.buffer = shape, kind, b"t", 0
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            model.buffers.append(buffer)
            added.buffer = len(model.buffers) - 1
        if scale is not None:
            added.quantization = schema.QuantizationParametersT()
            added.quantization.scale = np.array(scale, np.float32)
            added.quantization.zeroPoint = np.zeros(len(scale), np.int64)
        graph.tensors.append(added)
        return len(graph.tensors) - 1

    def operator(name, inputs, output, version):
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(codes, name)
        code.version = version
        model.operatorCodes.append(code)
        added = schema.OperatorT()
        added.opcodeIndex = len(model.operatorCodes) - 1
        added.inputs, added.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        graph.operators.append(added)
        return added

    weights = np.array([[1, -2, 3], [-4, 5, 6]], np.int8)
    image = tensor([rows, 3], kinds_of.FLOAT32)
    stored = tensor([2, 3], kinds_of.INT8, weights, [0.5, 0.25])
    floats = tensor([2, 3], kinds_of.FLOAT32)
    bias = tensor([2], kinds_of.FLOAT32, np.array([1, -1], np.float32)) if with_bias else -1
    answer = tensor([rows, 2], kinds_of.FLOAT32)
    operator("DEQUANTIZE", [stored], floats, 5)
    dense = operator("FULLY_CONNECTED", [image, floats, bias], answer, 1)
    dense.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    dense.builtinOptions = schema.FullyConnectedOptionsT()
    dense.builtinOptions.fusedActivationFunction = activation
    graph.inputs, graph.outputs = np.array([image]), np.array([answer])
    return write_flatbuffer(model)


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("activation", ["NONE", "RELU"])
def test_rows_biases_and_activations_are_kept(rows: int, with_bias: bool, activation: str) -> None:
    data = hand_file(rows, getattr(schema.ActivationFunctionType, activation), with_bias)
    image = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3) - 2
    weights = np.array([[0.5, -1, 1.5], [-1, 1.25, 1.5]], np.float32)
    expected = image @ weights.T + (np.array([1, -1], np.float32) if with_bias else 0)
    expected = np.maximum(expected, 0) if activation == "RELU" else expected
    assert kinds(changed(data))["FULLY_CONNECTED"] == 0
    for each in (data, changed(data)):
        interpreter = Interpreter(model_content=each)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
        interpreter.invoke()
        found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_weights_that_something_else_reads_stay() -> None:
    model = read_flatbuffer(hand_file(1, 0, with_bias=True))
    graph = model.subgraphs[0]
    graph.operators.append(graph.operators[1])
    before = len(graph.operators)
    dense_as_convolutions(model)
    assert len(graph.operators) == before
