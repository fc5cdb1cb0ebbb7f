from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from hand_made import hand_sidecar
from onnx import TensorProto, helper, numpy_helper

from converters.tflite.metadata import ClassifierMetadata, add_metadata_buffer, append_labels
from resnet_edge.ondevice.files import hash_path, size_path
from resnet_edge.ondevice.formats.sidecar import CalibrationRecord, Sidecar, write_sidecar

LABELS = ("cat", "dog", "grüne Katze")
T, B = schema.TensorType, schema.BuiltinOperator


class TinyTFLite:
    """A dense layer and a softmax, 4 values in and 3 out, put together by hand."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = b"made by hand"
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        kind: int,
        scales: tuple[float, ...] = (),
        zero_points: tuple[int, ...] = (),
        data: np.ndarray | None = None,
    ) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.type = name.encode(), kind
        tensor.shape = np.array(shape, np.int32)
        buffer = schema.BufferT()
        if data is not None:
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        tensor.buffer = len(self.model.buffers) - 1
        if scales:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.array(scales, np.float32)
            tensor.quantization.zeroPoint = np.array(zero_points or [0] * len(scales), np.int64)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, code: int, inputs: list[int], outputs: list[int]) -> None:
        entry = schema.OperatorCodeT()
        entry.builtinCode = entry.deprecatedBuiltinCode = code
        entry.version = 1
        self.model.operatorCodes.append(entry)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs = np.array(inputs, np.int32)
        operator.outputs = np.array(outputs, np.int32)
        self.graph.operators.append(operator)

    def pack(self, image: int, answer: int, *, metadata: bool) -> bytes:
        self.graph.inputs = np.array([image], np.int32)
        self.graph.outputs = np.array([answer], np.int32)
        if metadata:
            add_metadata_buffer(self.model, ClassifierMetadata("pets", "Pets.", LABELS, (8, 8)))
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        data = bytes(builder.Output())
        return append_labels(data, LABELS) if metadata else data


def build_tflite(kind: str, *, metadata: bool = True) -> bytes:
    """One of the kinds of quantization, each as the converters lay it out."""
    tiny = TinyTFLite()
    weights = np.arange(12).reshape(3, 4)
    per_channel = (0.1, 0.2, 0.3)
    match kind:
        case "float32":
            image = tiny.tensor("image", (1, 4), T.FLOAT32)
            kernel = tiny.tensor("kernel", (3, 4), T.FLOAT32, data=weights.astype(np.float32))
        case "float16" | "weight only":
            image = tiny.tensor("image", (1, 4), T.FLOAT32)
            if kind == "float16":
                stored = tiny.tensor("half", (3, 4), T.FLOAT16, data=weights.astype(np.float16))
            else:
                data = weights.astype(np.int8)
                stored = tiny.tensor("int8", (3, 4), T.INT8, per_channel, data=data)
            kernel = tiny.tensor("kernel", (3, 4), T.FLOAT32)
            tiny.operator(B.DEQUANTIZE, [stored], [kernel])
        case "dynamic":
            image = tiny.tensor("image", (1, 4), T.FLOAT32)
            data = weights.astype(np.int8)
            kernel = tiny.tensor("kernel", (3, 4), T.INT8, (0.5,), data=data)
        case "static" | "integer only":
            image = tiny.tensor("image", (1, 4), T.INT8, (1.0,), (-128,))
            data = weights.astype(np.int8)
            kernel = tiny.tensor("kernel", (3, 4), T.INT8, per_channel, data=data)
        case _:
            image = tiny.tensor("image", (1, 4), T.INT16, (0.01,), (0,))
            data = weights.astype(np.int8)
            kernel = tiny.tensor("kernel", (3, 4), T.INT8, per_channel, data=data)
    integer = kind in ("static", "integer only", "int16x8")
    inner = tiny.graph.tensors[image].type
    logits = tiny.tensor(
        "logits", (1, 3), inner, (0.25,) if integer else (), (3,) if integer else ()
    )
    tiny.operator(B.FULLY_CONNECTED, [image, kernel], [logits])
    if kind in ("static", "int16x8"):
        wide = tiny.tensor("wide", (1, 3), T.FLOAT32)
        tiny.operator(B.DEQUANTIZE, [logits], [wide])
        logits = wide
    if kind == "integer only":
        answer = tiny.tensor("probabilities", (1, 3), T.INT8, (1 / 256,), (-128,))
    else:
        answer = tiny.tensor("probabilities", (1, 3), T.FLOAT32)
    tiny.operator(B.SOFTMAX, [logits], [answer])
    return tiny.pack(image, answer, metadata=metadata)


def build_onnx(kind: str) -> onnx.ModelProto:
    """A matrix product and a softmax, 4 values in and 3 out."""
    weights = np.arange(12).reshape(4, 3)
    constants: list[TensorProto] = []

    def constant(name: str, values: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(values, name))
        return name

    scale = constant("scale", np.array(0.5, np.float32))
    dtype = TensorProto.FLOAT16 if kind == "float16" else TensorProto.FLOAT
    nodes, kernel, image = [], "kernel", "image"
    match kind:
        case "float32":
            constant("kernel", weights.astype(np.float32))
        case "float16":
            constant("kernel", weights.astype(np.float16))
        case _:
            constant("stored", weights.astype(np.int8))
            scales = constant("scales", np.array([0.1, 0.2, 0.3], np.float32))
            zeros = constant("zeros", np.zeros(3, np.int8))
            nodes.append(
                helper.make_node("DequantizeLinear", ["stored", scales, zeros], [kernel], axis=1)
            )
    if kind in ("static", "int16x8"):
        zero = constant("zero", np.array(0, np.uint16 if kind == "int16x8" else np.uint8))
        nodes.append(helper.make_node("QuantizeLinear", ["image", scale, zero], ["narrow"]))
        nodes.append(helper.make_node("DequantizeLinear", ["narrow", scale, zero], ["wide"]))
        image = "wide"
    nodes.append(helper.make_node("MatMul", [image, kernel], ["logits"]))
    nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", dtype, ["batch", 4])],
        [helper.make_tensor_value_info("probabilities", dtype, ["batch", 3])],
        [c for c in constants if kind not in ("float32", "float16") or c.name != "scale"],
    )
    opset = 21 if kind == "int16x8" else 17
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def add_sidecar(path: Path, name: str) -> Sidecar:
    """Write a sidecar that fits the file, and return it."""
    sidecar = hand_sidecar(
        name,
        LABELS,
        input_shape=(1, 8, 8, 3),
        output_shape=(1, 3),
        bytes=size_path(path),
        sha256=hash_path(path),
        model_name="pets by sidecar",
        parameters=1234567,
        multiply_adds=12,
        multiply_adds_before=12,
        calibration=CalibrationRecord("0" * 64, 200, 7, "training split", "equalized"),
    )
    write_sidecar(path, sidecar)
    return sidecar


@pytest.fixture(scope="session")
def labels() -> tuple[str, ...]:
    return LABELS


@pytest.fixture(scope="session")
def make_tflite() -> Callable[..., bytes]:
    return build_tflite


@pytest.fixture(scope="session")
def make_onnx() -> Callable[[str], onnx.ModelProto]:
    return build_onnx


@pytest.fixture(scope="session")
def make_sidecar() -> Callable[[Path, str], Sidecar]:
    return add_sidecar
