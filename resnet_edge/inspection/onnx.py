"""Reads ONNX files by their protobuf schema; nothing is executed and no runtime is needed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import numpy_helper

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
from resnet_edge.ondevice.reading import parse_json, refusing

_WEIGHT_INPUT = {
    "Conv": 1,
    "ConvTranspose": 1,
    "Gemm": 1,
    "MatMul": 1,
    "ConvInteger": 1,
    "MatMulInteger": 1,
    "QLinearConv": 3,
    "QLinearMatMul": 3,
}
"""Operators that may have weights, with the inputs that these are; input 0 is the activation."""

_PASS_THROUGH = frozenset(
    (
        "Transpose",
        "Reshape",
        "Identity",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Pad",
        "MaxPool",
        "Relu",
    )
)
"""Operators between an activation's DequantizeLinear and its reader that leave its scale alone."""

_INTEGER_WEIGHTS = frozenset(("int8", "uint8", "int4", "uint4"))
_SHORT_NAMES = {"float": "float32", "double": "float64"}


@dataclass(frozen=True)
class _Graph:
    """A graph's tensors by name."""

    constants: dict[str, onnx.TensorProto]
    producers: dict[str, onnx.NodeProto]
    nodes: tuple[onnx.NodeProto, ...]


def read_onnx(path: Path) -> Contents:
    """Read an ONNX file.

    Args:
        path: A ``.onnx`` file; weights in files beside it are counted but not read.

    Raises:
        ArtifactError: It is empty, truncated, or no valid ONNX file.
    """

    def refusal(reason: str) -> ArtifactError:
        return ArtifactError(
            f"{path}: truncated or damaged ONNX file, or newer than onnx {onnx.__version__} "
            f"({reason}); expected a model that the ONNX checker takes; export or copy it again"
        )

    with refusing(refusal):
        return _contents(path, _load(path))


def _contents(path: Path, model: onnx.ModelProto) -> Contents:
    graph = _index(model.graph)
    properties = {p.key: p.value for p in model.metadata_props}
    computations = list(_computations(graph))
    external = any(t.data_location == onnx.TensorProto.EXTERNAL for t in graph.constants.values())
    return Contents(
        inputs=tuple(
            _endpoint(graph, value)
            for value in model.graph.input
            if value.name not in graph.constants
        ),
        outputs=tuple(_endpoint(graph, value) for value in model.graph.output),
        operators=count_names(node.op_type for node in _all_nodes(model.graph)),
        weights=group_weights(_weights(graph)),
        computations=count_names(c.value for c in computations),
        quantization=deduce_quantization(
            computations, integer_only=all(_is_integer(v) for v in model.graph.output)
        ),
        labels=_labels(path, properties.pop("labels", None)),
        model_name=properties.pop("name", None) or model.graph.name or None,
        metadata=text_metadata(
            {
                **properties,
                "opset": ", ".join(
                    f"{o.domain or 'ai.onnx'} {o.version}" for o in model.opset_import
                ),
                "ir_version": str(model.ir_version),
                "producer": f"{model.producer_name} {model.producer_version}".removesuffix(
                    " None"
                ).strip(),
            }
        ),
        notes=("weights lie in other files, which are not in bytes and sha256",)
        if external
        else (),
    )


def _load(path: Path) -> onnx.ModelProto:
    model = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(str(path))
    if not model.graph.node or not model.graph.output:
        raise ValueError("it has no operators")
    return model


def _index(graph: onnx.GraphProto) -> _Graph:
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                constants[node.output[0]] = attribute.t
    producers = {name: node for node in graph.node for name in node.output}
    return _Graph(constants, producers, tuple(graph.node))


def _all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield every operator, also those inside If and Loop."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _all_nodes(inner)


def _labels(path: Path, text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    refused = ArtifactError(
        f"{path}: metadata 'labels' is {text[:40]!r}; expected a JSON list of names; "
        "export it again"
    )
    with refusing(lambda _: refused):
        labels = parse_json(text)
    if isinstance(labels, list) and all(isinstance(label, str) for label in labels):
        return tuple(labels)
    raise refused


def _dtype(code: int) -> str:
    try:
        name: str = onnx.TensorProto.DataType.Name(code).lower()
    except ValueError:
        return f"type {code}"
    return _SHORT_NAMES.get(name, name)


def _endpoint(graph: _Graph, value: onnx.ValueInfoProto) -> Endpoint:
    tensor = value.type.tensor_type
    scale, zero_point = _endpoint_scale(graph, value.name)
    shape = (
        tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
        if tensor.HasField("shape")
        else None
    )
    return Endpoint(value.name, _dtype(tensor.elem_type), shape, scale, zero_point)


def _is_integer(value: onnx.ValueInfoProto) -> bool:
    return "int" in _dtype(value.type.tensor_type.elem_type)


def _endpoint_scale(graph: _Graph, name: str) -> tuple[float | None, int | None]:
    """Return scale and zero point of an output quantized last, or an input dequantized first."""
    producer = graph.producers.get(name)
    candidates: Iterable[onnx.NodeProto] = (
        [producer] if producer is not None else [n for n in graph.nodes if name in n.input]
    )
    for node in candidates:
        expected = "QuantizeLinear" if producer is not None else "DequantizeLinear"
        if node.op_type == expected and _scales(graph, node) == 1:
            scale = numpy_helper.to_array(graph.constants[node.input[1]])
            zero = graph.constants.get(node.input[2]) if len(node.input) > 2 else None
            return float(scale), 0 if zero is None else int(numpy_helper.to_array(zero))
    return None, None


def _scales(graph: _Graph, node: onnx.NodeProto) -> int:
    """Return the number of scales of a (De)QuantizeLinear; 0 where they are no constant."""
    scale = graph.constants.get(node.input[1])
    return 0 if scale is None else math.prod(scale.dims)


def _weights(graph: _Graph) -> Iterator[StoredTensor]:
    """Yield the constants that are weights: no shapes and axes, no scales and zero points."""
    scales: dict[str, int] = {}
    settings: set[str] = set()
    for node in graph.nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            settings.update(node.input[1:])
            scales[node.input[0]] = _scales(graph, node)
        elif node.op_type.startswith("QLinear"):
            settings.update(name for name in node.input[1:] if name != node.input[3])
            scales[node.input[3]] = math.prod(graph.constants[node.input[4]].dims)
    for name, tensor in graph.constants.items():
        dtype = _dtype(tensor.data_type)
        is_float = "float" in dtype
        if name not in settings and (is_float or name in scales or dtype in _INTEGER_WEIGHTS):
            own = 0 if is_float else max(scales.get(name, 1), 1)
            yield StoredTensor(dtype, math.prod(tensor.dims), own)


def _computations(graph: _Graph) -> Iterator[Computation]:
    for node in graph.nodes:
        index = _WEIGHT_INPUT.get(node.op_type)
        if index is None or len(node.input) <= index:
            continue
        name, dequantized = _trace(graph, node.input[index])
        weight = graph.constants.get(name)
        if weight is not None:
            yield _computation(graph, node, _dtype(weight.data_type), dequantized)


def _trace(graph: _Graph, name: str) -> tuple[str, bool]:
    """Follow a weight back to its constant; True with it if it passes a DequantizeLinear."""
    dequantized = False
    while name not in graph.constants and name in graph.producers:
        node = graph.producers[name]
        if node.op_type == "DequantizeLinear":
            dequantized = True
        elif node.op_type not in _PASS_THROUGH and node.op_type != "Cast":
            break
        name = node.input[0]
    return name, dequantized


def _computation(
    graph: _Graph, node: onnx.NodeProto, weight: str, dequantized: bool
) -> Computation:
    if weight == "float16":
        return Computation.FLOAT16
    if weight not in _INTEGER_WEIGHTS:
        return Computation.FLOAT32
    if not dequantized:
        integer = node.op_type in ("ConvInteger", "MatMulInteger")
        return Computation.DYNAMIC if integer else Computation.STATIC
    match _activation_dtype(graph, node.input[0]):
        case None:
            return Computation.WEIGHT_ONLY
        case "int16" | "uint16":
            return Computation.STATIC_INT16
        case _:
            return Computation.STATIC


def _activation_dtype(graph: _Graph, name: str) -> str | None:
    """Return the dtype of the QDQ pair between an activation and its reader; None without one."""
    while name in graph.producers:
        node = graph.producers[name]
        if node.op_type == "DequantizeLinear":
            zero = graph.constants.get(node.input[2]) if len(node.input) > 2 else None
            return "uint8" if zero is None else _dtype(zero.data_type)
        if node.op_type not in _PASS_THROUGH:
            return None
        name = node.input[0]
    return None
