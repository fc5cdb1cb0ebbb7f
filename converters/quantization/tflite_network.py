"""A float32 TFLite file as a graph of operators.

The converted file, not the Keras model, has the operators as the runtime fuses them. So every
tensor of this graph is a tensor that the integer runtime rounds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.tflite.flatbuffer import operator_kind, read_flatbuffer, write_flatbuffer

CONVOLUTION, DEPTHWISE, DENSE = "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"
WITH_KERNEL = (CONVOLUTION, DEPTHWISE, DENSE)
SAME_VALUES = frozenset(
    {
        "BROADCAST_TO",
        "DEPTH_TO_SPACE",
        "EXPAND_DIMS",
        "GATHER",
        "MAX_POOL_2D",
        "MIRROR_PAD",
        "PAD",
        "REDUCE_MAX",
        "REDUCE_MIN",
        "RESHAPE",
        "RESIZE_NEAREST_NEIGHBOR",
        "SLICE",
        "SPACE_TO_DEPTH",
        "SPLIT",
        "SQUEEZE",
        "STRIDED_SLICE",
        "TILE",
        "TRANSPOSE",
        "UNPACK",
    }
)
"""Operators that move values and compute no new ones. Input and output share one range."""

SAME_RANGE = SAME_VALUES | {"AVERAGE_POOL_2D", "RESIZE_BILINEAR"}
"""Operators whose integer kernels have the same step for input and output."""

ELEMENTWISE = frozenset({"ADD", "DIV", "MAXIMUM", "MUL", "SUB"})

_ACTIVATIONS = {
    code: name for name, code in vars(schema.ActivationFunctionType).items() if name[0] != "_"
}
_TYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT64: np.int64,
    schema.TensorType.BOOL: np.bool_,
}


@dataclass(frozen=True)
class Operation:
    """One operator of the graph."""

    index: int
    kind: str
    """Its name in the TFLite schema, for instance ``CONV_2D``."""
    inputs: tuple[int, ...]
    """Tensors that it reads, with constants; -1 for an absent optional one."""
    outputs: tuple[int, ...]
    activation: str
    """Its fused activation: ``NONE``, ``RELU``, ``RELU6``, …"""
    options: object
    """The schema's options of this kind: strides, padding, axes."""
    layer: str
    """Name of the Keras layer that it comes from. Operators of one layer share it."""

    @property
    def output(self) -> int:
        """The first tensor it writes."""
        return self.outputs[0]

    @property
    def moved(self) -> int:
        """The tensor whose values it moves, if its kind is one of ``SAME_VALUES``."""
        return self.inputs[1 if self.kind == "SPLIT" else 0]


@dataclass(frozen=True)
class Parameters:
    """Kernel and bias of one operator, float32.

    A convolution's kernel is (height, width, in, out), a depthwise one's (height, width, in,
    multiplier), a dense layer's (in, out); the bias has a value for every output channel.
    """

    kernel: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class TfliteNetwork:
    """A float32 graph with one picture in and one answer out."""

    operations: tuple[Operation, ...]
    """In an order in which they can be computed."""
    names: tuple[str, ...]
    """Names of all tensors."""
    shapes: tuple[tuple[int, ...], ...]
    constants: Mapping[int, np.ndarray]
    image: int
    answer: int
    integers: frozenset[int] = frozenset()
    """Tensors that hold no float32, for instance indices. They are never rounded."""
    float32: bytes = field(default=b"", repr=False)
    """The file that it was read from."""

    def __reduce__(self) -> tuple[object, ...]:
        """Leave out what is derived from the fields, which is as large again."""
        return TfliteNetwork, tuple(getattr(self, each.name) for each in fields(self))

    @cached_property
    def readers(self) -> Mapping[int, tuple[Operation, ...]]:
        """The operators that read each tensor, by index of the tensor."""
        found: dict[int, tuple[Operation, ...]] = {}
        for operation in self.operations:
            for tensor in dict.fromkeys(operation.inputs):
                found[tensor] = (*found.get(tensor, ()), operation)
        return found

    @cached_property
    def writers(self) -> Mapping[int, Operation]:
        """The operator that writes each computed tensor, by index of the tensor."""
        return {tensor: op for op in self.operations for tensor in op.outputs}

    @cached_property
    def weighted(self) -> tuple[Operation, ...]:
        """Operators with a constant kernel."""
        return tuple(
            operation
            for operation in self.operations
            if operation.kind in WITH_KERNEL and operation.inputs[1] in self.constants
        )

    @cached_property
    def parameters(self) -> Mapping[int, Parameters]:
        """Kernel and bias of every weighted operator, by its index."""
        return {op.index: self._parameters_of(op) for op in self.weighted}

    @cached_property
    def logits(self) -> int:
        """The tensor that the final softmax reads; the answer itself if there is no softmax."""
        last = self.writers[self.answer]
        return last.inputs[0] if last.kind == "SOFTMAX" else self.answer

    @cached_property
    def head(self) -> frozenset[int]:
        """The last dense layer and the operators that compute the answer from its logits.

        In float they cost almost nothing, and the logits are not rounded to 8 bits.
        """
        found, tensor = [], self.answer
        while (operation := self.writers.get(tensor)) is not None:
            is_dense = self.is_dense(operation)
            if operation.kind not in ("SOFTMAX", "LOGISTIC", "RESHAPE") and not is_dense:
                break
            found.append(operation.index)
            tensor = operation.inputs[0]
            if is_dense:
                break
        return frozenset(found)

    @property
    def dense_head(self) -> Operation | None:
        """The operator of the head that has a kernel; None if it has none."""
        return next((op for op in self.weighted if op.index in self.head), None)

    def is_dense(self, operation: Operation) -> bool:
        """Return True for a dense layer, and for a convolution that has only one position.

        MobileNetV3's head is one: a 1x1 convolution behind a pooling that keeps its axes.
        """
        if operation.kind != "CONV_2D":
            return operation.kind == DENSE
        window = self.shapes[operation.inputs[1]][1:3]
        return math.prod(window) == math.prod(self.shapes[operation.inputs[0]][1:3]) == 1

    def _parameters_of(self, operation: Operation) -> Parameters:
        stored = self.constants[operation.inputs[1]]
        match operation.kind:
            case "CONV_2D":
                kernel = stored.transpose(1, 2, 3, 0)
            case "DEPTHWISE_CONV_2D":
                channels = self.shapes[operation.inputs[0]][-1]
                kernel = stored[0].reshape(*stored.shape[1:3], channels, -1)
            case _:
                kernel = stored.T
        has_bias = len(operation.inputs) > 2 and operation.inputs[2] >= 0
        outputs = self.shapes[operation.output][-1]
        bias = self.constants[operation.inputs[2]] if has_bias else np.zeros(outputs, np.float32)
        return Parameters(np.ascontiguousarray(kernel), bias)


def read_network(float32: bytes, layers: Collection[str] = ()) -> TfliteNetwork:
    """Read a float32 TFLite file.

    Args:
        float32: A file made by ``converters.tflite.conversion.convert_float32``.
        layers: Names of the Keras model's layers, to find the layer of each operator. Without them
            an operator gets the name that the converter made of its layer's name.

    Returns:
        The graph of its first subgraph.
    """
    model = read_flatbuffer(float32)
    graph = model.subgraphs[0]
    names = tuple(tensor.name.decode() for tensor in graph.tensors)
    constants = {}
    for index, tensor in enumerate(graph.tensors):
        data = model.buffers[tensor.buffer].data
        if data is not None and len(data) and tensor.type in _TYPES:
            flat: np.ndarray = np.frombuffer(bytes(data), _TYPES[tensor.type])
            constants[index] = flat.reshape(_shape(tensor))
    operations = tuple(
        _operation(model, index, operator, names, frozenset(layers))
        for index, operator in enumerate(graph.operators)
    )
    shapes = tuple(_shape(tensor) for tensor in graph.tensors)
    image, answer = int(graph.inputs[0]), int(graph.outputs[0])
    integers = frozenset(
        index
        for index, tensor in enumerate(graph.tensors)
        if tensor.type != schema.TensorType.FLOAT32
    )
    return TfliteNetwork(
        operations, names, shapes, constants, image, answer, integers, bytes(float32)
    )


@dataclass(frozen=True)
class Reweighted:
    """A float32 TFLite file with other kernels and biases."""

    data: bytes
    kernel_names: Mapping[int, str]
    """Names of the kernels' tensors, by index of the operator. Each operator has its own."""


def write_parameters(
    float32: bytes,
    parameters: Mapping[int, Parameters],
    constants: Mapping[int, np.ndarray] | None = None,
) -> Reweighted:
    """Return the file with other kernels and biases.

    Args:
        float32: The file that the network was read from.
        parameters: By index of the operator. All other operators keep theirs.
        constants: Other constants that are written too, float32, by index of the tensor.
    """
    model = read_flatbuffer(float32)
    graph = model.subgraphs[0]
    uses: dict[int, int] = {}
    for operator in graph.operators:
        for tensor in operator.inputs:
            uses[int(tensor)] = uses.get(int(tensor), 0) + 1
    for index, values in parameters.items():
        operator = graph.operators[index]
        kind = operator_kind(model, operator)
        stored = {1: _stored_kernel(kind, values.kernel)}
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            stored[2] = values.bias
        elif np.any(values.bias):
            _add_bias(model, operator, values.bias)
        for place, array in stored.items():
            _replace_constant(model, operator, place, array, uses)
    for tensor, array in (constants or {}).items():
        _store(model, graph.tensors[tensor], array)
    kernels = {index: int(graph.operators[index].inputs[1]) for index in parameters}
    names = {index: graph.tensors[tensor].name.decode() for index, tensor in kernels.items()}
    return Reweighted(write_flatbuffer(model), names)


def _add_bias(model: schema.ModelT, operator: schema.OperatorT, bias: np.ndarray) -> None:
    """Give an operator a bias. The converter leaves it out where it is zero."""
    graph = model.subgraphs[0]
    tensor = schema.TensorT()
    output = graph.tensors[int(operator.outputs[0])].name
    tensor.name = output + f"_bias_{len(graph.tensors)}".encode()
    tensor.shape = np.array(bias.shape, np.int32)
    tensor.type, tensor.buffer = schema.TensorType.FLOAT32, _add_buffer(model, bias)
    graph.tensors.append(tensor)
    operator.inputs = np.array([*operator.inputs[:2], len(graph.tensors) - 1], np.int32)


def _add_buffer(model: schema.ModelT, values: np.ndarray) -> int:
    """Store values. Return the number of their buffer."""
    buffer = schema.BufferT()
    buffer.data = _bytes(values)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.frombuffer(np.ascontiguousarray(values, np.float32).tobytes(), np.uint8)


def _stored_kernel(kind: str, kernel: np.ndarray) -> np.ndarray:
    match kind:
        case "CONV_2D":
            return kernel.transpose(3, 0, 1, 2)
        case "DEPTHWISE_CONV_2D":
            return kernel.reshape(1, *kernel.shape[:2], -1)
        case _:
            return kernel.T


def _replace_constant(
    model: schema.ModelT,
    operator: schema.OperatorT,
    place: int,
    array: np.ndarray,
    uses: Mapping[int, int],
) -> None:
    """Give an operator another constant. Other operators that read the old one keep it."""
    graph = model.subgraphs[0]
    index = int(operator.inputs[place])
    tensor = graph.tensors[index]
    if uses[index] > 1:
        copy = schema.TensorT()
        copy.__dict__.update(tensor.__dict__)
        copy.name = tensor.name + f"_{len(graph.tensors)}".encode()
        graph.tensors.append(copy)
        tensor = copy
        operator.inputs = np.array(operator.inputs)
        operator.inputs[place] = len(graph.tensors) - 1
    _store(model, tensor, array)


def _store(model: schema.ModelT, tensor: schema.TensorT, values: np.ndarray) -> None:
    """Give a constant other values. Tensors that share its buffer keep theirs."""
    graph = model.subgraphs[0]
    if sum(other.buffer == tensor.buffer for other in graph.tensors) > 1:
        tensor.buffer = _add_buffer(model, values)
    else:
        model.buffers[tensor.buffer].data = _bytes(values)


def _operation(
    model: schema.ModelT,
    index: int,
    operator: schema.OperatorT,
    names: tuple[str, ...],
    layers: frozenset[str],
) -> Operation:
    kind = operator_kind(model, operator)
    inputs = tuple(int(i) for i in operator.inputs)
    outputs = tuple(int(i) for i in operator.outputs)
    fused = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
    owner = names[inputs[1] if kind in WITH_KERNEL else outputs[0]]
    layer = layer_of(owner, layers)
    if layers and layer not in layers:  # a kernel that two operators share has a name of its own
        layer = layer_of(names[outputs[0]], layers)
    return Operation(
        index,
        kind,
        inputs,
        outputs,
        _ACTIVATIONS[fused],
        operator.builtinOptions,
        layer,
    )


def layer_of(tensor: str, layers: frozenset[str] = frozenset()) -> str:
    """Return the Keras layer that a tensor's name belongs to.

    The converter joins the names of fused operators by ``;``, and Keras numbers a layer that is
    called a second time: ``serving_1/resnet50_1/conv1_relu_1/Relu;serving_1/…``. If the model
    itself is numbered, so are all its layers: ``serving_1/…/add_1`` is ``add``, not ``add_1``.

    Args:
        tensor: A tensor's name in the TFLite file.
        layers: Names that exist. The innermost part of the path that is among them is returned.
    """
    path = tensor.split(";")[-1].split("/")
    numbered = re.search(r"_\d+$", path[0]) is not None
    for part in reversed(path):
        names = (part, re.sub(r"_\d+$", "", part))
        for name in reversed(names) if numbered else names:
            if name in layers:
                return name
    return path[-2] if len(path) > 1 else path[0].partition(":")[0]


def _shape(tensor: schema.TensorT) -> tuple[int, ...]:
    return () if tensor.shape is None else tuple(int(size) for size in tensor.shape)
