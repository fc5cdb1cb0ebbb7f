"""Reads TFLite files by their flatbuffer schema; nothing is executed, no interpreter needed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from resnet_edge.errors import ArtifactError
from resnet_edge.inspection.contents import (
    Computation,
    Contents,
    Endpoint,
    StoredTensor,
    count_names,
    deduce_quantization,
    group_weights,
    text_metadata,
)
from resnet_edge.inspection.tflite_metadata import EmbeddedMetadata, read_embedded_metadata
from resnet_edge.ondevice.reading import refusing

IDENTIFIER = b"TFL3"
_METADATA_ENTRY = "TFLITE_METADATA"
_OPERATOR_NAMES = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")
}
_DTYPES = {
    code: name.lower() for name, code in vars(schema.TensorType).items() if not name.startswith("_")
}
_ACTIVATION_INPUT = {
    "CONV_2D": 0,
    "DEPTHWISE_CONV_2D": 0,
    "CONV_3D": 0,
    "FULLY_CONNECTED": 0,
    "BATCH_MATMUL": 0,
    "TRANSPOSE_CONV": 2,
}
"""Operators with weights, with the input that is the activation; the weights are input 1."""

_INTEGER_WEIGHTS = frozenset(("int8", "uint8", "int4"))


@dataclass(frozen=True)
class _Tensor:
    name: str
    dtype: str
    shape: tuple[int | None, ...]
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    constant: bool


@dataclass(frozen=True)
class _Operator:
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class _Graph:
    tensors: tuple[_Tensor, ...]
    operators: tuple[_Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_tflite(path: Path) -> Contents:
    """Read a TFLite file.

    Args:
        path: A ``.tflite`` file, also one whose weights lie behind the flatbuffer.

    Raises:
        ArtifactError: It is empty, truncated, or no TFLite file.
    """
    data = path.read_bytes()
    if data[4:8] != IDENTIFIER:
        raise ArtifactError(
            f"{path}: no TFLite file ({len(data):,} bytes, identifier {data[4:8]!r}); "
            f"expected {IDENTIFIER!r} at byte 4; export or copy it again"
        )

    def refusal(reason: str) -> ArtifactError:
        return ArtifactError(
            f"{path}: truncated or damaged TFLite file ({reason}); expected a whole "
            "flatbuffer with its labels behind it; export or copy it again"
        )

    with refusing(refusal):
        model = schema.Model.GetRootAs(data, 0)
        _check_buffers(model, len(data))
        graphs = tuple(_read_graph(model, i) for i in range(model.SubgraphsLength()))
        entries = dict(_metadata_entries(model))
        embedded = read_embedded_metadata(entries.get(_METADATA_ENTRY), data)
        return _contents(model, graphs, entries, embedded)


def _contents(
    model: Any,  # noqa: ANN401 - generated code without types
    graphs: tuple[_Graph, ...],
    entries: dict[str, bytes],
    embedded: EmbeddedMetadata,
) -> Contents:
    main = graphs[0]
    computations = [c for graph in graphs for c in _computations(graph)]
    runtime = entries.get("min_runtime_version", b"").strip(b"\0").decode("utf-8", "replace")
    return Contents(
        inputs=tuple(_endpoint(main.tensors[i]) for i in main.inputs),
        outputs=tuple(_endpoint(main.tensors[i]) for i in main.outputs),
        operators=count_names(op.name for graph in graphs for op in graph.operators),
        weights=group_weights(
            StoredTensor(t.dtype, math.prod(n or 0 for n in t.shape), len(t.scales))
            for graph in graphs
            for t in graph.tensors
            if t.constant and _is_weight(t)
        ),
        computations=count_names(c.value for c in computations),
        quantization=deduce_quantization(
            computations, integer_only=not any(_has_floats(graph) for graph in graphs)
        ),
        labels=embedded.labels,
        model_name=embedded.name,
        metadata=text_metadata(
            {
                "description": embedded.description or _text(model.Description()),
                "min_runtime_version": runtime,
                "min_parser_version": embedded.min_parser_version,
                "entries": ", ".join(entries),
            }
        ),
    )


def _check_buffers(model: Any, size: int) -> None:  # noqa: ANN401
    """Refuse a file whose weights are cut off, although its tables can all be read."""
    for i in range(model.BuffersLength()):
        buffer = model.Buffers(i)
        buffer.DataAsNumpy()  # raises where the vector reaches beyond the file
        if buffer.Offset() > 1 and buffer.Offset() + buffer.Size() > size:
            raise ValueError(
                f"buffer {i} ends at byte {buffer.Offset() + buffer.Size():,} of {size:,}"
            )
    if not model.SubgraphsLength() or not model.Subgraphs(0).OperatorsLength():
        raise ValueError("it has no operators")


def _read_graph(model: Any, index: int) -> _Graph:  # noqa: ANN401
    graph = model.Subgraphs(index)
    tensors = tuple(_read_tensor(model, graph.Tensors(i)) for i in range(graph.TensorsLength()))
    operators = []
    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        operators.append(
            _Operator(
                name=_operator_name(model.OperatorCodes(operator.OpcodeIndex())),
                inputs=tuple(int(operator.Inputs(k)) for k in range(operator.InputsLength())),
                outputs=tuple(int(operator.Outputs(k)) for k in range(operator.OutputsLength())),
            )
        )
    return _Graph(
        tensors,
        tuple(operators),
        tuple(int(graph.Inputs(i)) for i in range(graph.InputsLength())),
        tuple(int(graph.Outputs(i)) for i in range(graph.OutputsLength())),
    )


def _read_tensor(model: Any, tensor: Any) -> _Tensor:  # noqa: ANN401
    buffer = model.Buffers(tensor.Buffer())
    if tensor.ShapeSignatureLength():
        sizes = [tensor.ShapeSignature(i) for i in range(tensor.ShapeSignatureLength())]
    else:
        sizes = [tensor.Shape(i) for i in range(tensor.ShapeLength())]
    q = tensor.Quantization()
    return _Tensor(
        name=_text(tensor.Name()),
        dtype=_DTYPES.get(tensor.Type(), f"type {tensor.Type()}"),
        shape=tuple(None if n < 0 else int(n) for n in sizes),
        scales=tuple(q.Scale(i) for i in range(q.ScaleLength())) if q else (),
        zero_points=tuple(q.ZeroPoint(i) for i in range(q.ZeroPointLength())) if q else (),
        constant=buffer.DataLength() > 0 or buffer.Offset() > 1,
    )


def _operator_name(code: Any) -> str:  # noqa: ANN401
    # Codes over 127 lie in the newer field; old files fill the older one alone.
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = _OPERATOR_NAMES.get(number, f"operator {number}")
    return f"CUSTOM {_text(code.CustomCode())}" if name == "CUSTOM" else name


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def _endpoint(tensor: _Tensor) -> Endpoint:
    quantized = len(tensor.scales) == 1 and not tensor.dtype.startswith("float")
    return Endpoint(
        name=tensor.name,
        dtype=tensor.dtype,
        shape=tensor.shape,
        scale=tensor.scales[0] if quantized else None,
        zero_point=(tensor.zero_points or (0,))[0] if quantized else None,
    )


def _is_weight(tensor: _Tensor) -> bool:
    """Return True for weights: shapes, axes and paddings have an integer dtype and no scale."""
    return tensor.dtype.startswith(("float", "bfloat")) or bool(tensor.scales)


def _has_floats(graph: _Graph) -> bool:
    used = {i for op in graph.operators for i in (*op.inputs, *op.outputs) if i >= 0}
    return any(graph.tensors[i].dtype.startswith(("float", "bfloat")) for i in used)


def _computations(graph: _Graph) -> Iterator[Computation]:
    producer = {index: op for op in graph.operators for index in op.outputs}
    for op in graph.operators:
        if op.name not in _ACTIVATION_INPUT or len(op.inputs) <= _ACTIVATION_INPUT[op.name]:
            continue
        weight = graph.tensors[op.inputs[1]]
        source = producer.get(op.inputs[1])
        widened = source is not None and source.name == "DEQUANTIZE"
        if widened and source is not None:
            weight = graph.tensors[source.inputs[0]]
        if weight.constant:
            activation = graph.tensors[op.inputs[_ACTIVATION_INPUT[op.name]]]
            yield _computation(activation.dtype, weight.dtype, widened)


def _computation(activation: str, weight: str, widened: bool) -> Computation:
    if weight == "float16":
        return Computation.FLOAT16
    if weight not in _INTEGER_WEIGHTS:
        return Computation.FLOAT32
    if activation in ("int8", "uint8"):
        return Computation.STATIC
    if activation == "int16":
        return Computation.STATIC_INT16
    return Computation.WEIGHT_ONLY if widened else Computation.DYNAMIC


def _metadata_entries(model: Any) -> Iterator[tuple[str, bytes]]:  # noqa: ANN401
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        buffer = model.Buffers(entry.Buffer())
        content = buffer.DataAsNumpy() if buffer.DataLength() else b""
        yield _text(entry.Name()), bytes(content)
