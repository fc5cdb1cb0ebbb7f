"""Integer operators that LiteRT has and litert-quantizer leaves in float.

The quantizer puts DEQUANTIZE before and QUANTIZE behind them. Here they read and write the integers
themselves, and the conversions between that nothing reads any more are dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.quantization.integer_kinds import KERNEL_VERSIONS
from converters.quantization.tensor_range import Range
from converters.quantization.tflite_network import SAME_RANGE, Operation, TfliteNetwork
from converters.tflite.flatbuffer import (
    operator_kind,
    quantize_operator,
    read_flatbuffer,
    write_flatbuffer,
)

_CONVERSIONS = ("DEQUANTIZE", "QUANTIZE")


def use_integer_kernels(
    data: bytes,
    network: TfliteNetwork,
    ranges: Mapping[int, Range],
    float_operations: Collection[int],
) -> bytes:
    """Return an int8 file in which operators of ``KERNEL_VERSIONS`` compute in integers.

    Args:
        data: The file as litert-quantizer made it, with 8-bit activations.
        network: The float graph that it was made from.
        ranges: Range of every rounded tensor of that graph.
        float_operations: Operators that stay in float, by index.
    """
    wanted = {
        op.index
        for op in network.operations
        if op.kind in KERNEL_VERSIONS and op.index not in float_operations
    }
    if not wanted:
        return data
    model = read_flatbuffer(data)
    graph = _Graph(model)
    known = iter(network.operations)
    for operator in list(model.subgraphs[0].operators):
        if graph.kind_of(operator) in _CONVERSIONS:
            continue
        operation = next(known)  # the quantizer keeps the order
        if operation.index in wanted:
            graph.make_integer(operator, operation, ranges)
    graph.drop_conversions()
    return write_flatbuffer(model)


def use_general_sums(data: bytes) -> bytes:
    """Return a file with 16-bit activations whose sums take any steps.

    By default a sum of three steps that are powers of two, or nearly so, takes a path that refuses
    terms with a larger step than the sum (``kernels/add.cc``, ``sub.cc``). ``x / 127.5 - 1`` gets
    there.
    """
    model = read_flatbuffer(data)
    for operator in model.subgraphs[0].operators:
        code = model.operatorCodes[operator.opcodeIndex]
        least = _GENERAL_SUMS.get(operator_kind(model, operator))
        if least is not None:
            operator.builtinOptions.potScaleInt16 = False
            code.version = max(code.version, least)
    return write_flatbuffer(model)


_GENERAL_SUMS = {"ADD": 3, "SUB": 5}
"""Versions with general 16-bit sums (``tensorflow/lite/tools/versioning/op_version.cc``)."""


@dataclass
class _Graph:
    """The quantized graph while it is changed."""

    model: schema.ModelT
    twins: dict[int, int] = field(default_factory=dict)
    """The integer tensor with the values of a float one."""

    def __post_init__(self) -> None:
        self.graph = self.model.subgraphs[0]
        for operator in self.graph.operators:
            if self.kind_of(operator) == "DEQUANTIZE" and self._is_int8(operator.inputs[0]):
                self.twins[int(operator.outputs[0])] = int(operator.inputs[0])

    def kind_of(self, operator: schema.OperatorT) -> str:
        return operator_kind(self.model, operator)

    def make_integer(
        self, operator: schema.OperatorT, operation: Operation, ranges: Mapping[int, Range]
    ) -> None:
        """Let an operator read and write int8."""
        source, target = int(operator.inputs[0]), int(operator.outputs[0])
        place = self.graph.operators.index(operator)
        if source not in self.twins:
            self.twins[source] = self._int8_tensor(source, _steps(ranges[operation.inputs[0]]))
            self.graph.operators.insert(
                place, quantize_operator(self.model, source, self.twins[source])
            )
            place += 1
        read = self.graph.tensors[self.twins[source]].quantization
        same = operation.kind in SAME_RANGE
        steps = (read.scale[0], read.zeroPoint[0]) if same else _steps(ranges[operation.output])
        written = self._int8_tensor(target, steps)
        operator.inputs = np.array([self.twins[source], *operator.inputs[1:]], np.int32)
        operator.outputs = np.array([written], np.int32)
        if operation.kind == "PRELU":
            operator.inputs[1] = self._int8_constant(int(operator.inputs[1]))
        code = self.model.operatorCodes[operator.opcodeIndex]
        code.version = max(code.version, KERNEL_VERSIONS[operation.kind])
        self.twins[target] = written
        back = quantize_operator(self.model, written, target, back=True)
        self.graph.operators.insert(place + 1, back)

    def drop_conversions(self) -> None:
        """Read integers where they are, and drop what nothing reads."""
        renamed: dict[int, int] = {}
        for operator in self.graph.operators:
            read = [renamed.get(int(t), int(t)) for t in operator.inputs]
            operator.inputs = np.array(read, np.int32)
            source = int(operator.inputs[0])
            if self.kind_of(operator) == "QUANTIZE" and source in self.twins:
                twin, target = self.twins[source], int(operator.outputs[0])
                if twin == target:
                    continue
                operator.inputs[0] = twin
                if self._alike(twin, target) and target not in self.graph.outputs:
                    renamed[target] = twin
        while unread := self._unread_conversions():
            self.graph.operators = [op for op in self.graph.operators if op not in unread]

    def _unread_conversions(self) -> list[schema.OperatorT]:
        read = {int(t) for op in self.graph.operators for t in op.inputs}
        read.update(map(int, self.graph.outputs))
        return [
            op
            for op in self.graph.operators
            if self.kind_of(op) in _CONVERSIONS and int(op.outputs[0]) not in read
        ]

    def _alike(self, one: int, other: int) -> bool:
        tensors = [self.graph.tensors[tensor] for tensor in (one, other)]
        steps = [(t.type, t.quantization.scale[0], t.quantization.zeroPoint[0]) for t in tensors]
        return steps[0] == steps[1]

    def _is_int8(self, tensor: int) -> bool:
        found = self.graph.tensors[tensor]
        return found.type == schema.TensorType.INT8 and self._buffer_of(found).data is None

    def _buffer_of(self, tensor: schema.TensorT) -> schema.BufferT:
        return self.model.buffers[tensor.buffer]

    def _int8_tensor(
        self, like: int, steps: tuple[float, int], values: np.ndarray | None = None
    ) -> int:
        original, buffer = self.graph.tensors[like], schema.BufferT()
        if values is not None:
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        tensor = schema.TensorT()
        tensor.shape, tensor.shapeSignature = original.shape, original.shapeSignature
        tensor.type, tensor.buffer = schema.TensorType.INT8, len(self.model.buffers) - 1
        tensor.name = original.name + b"_int8"
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = np.array([steps[0]], np.float32)
        tensor.quantization.zeroPoint = np.array([steps[1]], np.int64)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _int8_constant(self, index: int) -> int:
        """Return a constant in 8 bits, with zero as the integer 0."""
        stored = self._buffer_of(self.graph.tensors[index]).data
        values = np.frombuffer(bytes(stored), np.float32)
        step = float(np.abs(values).max()) / 127 or 1.0
        integers = np.clip(np.rint(values / step), -127, 127).astype(np.int8)
        return self._int8_tensor(index, (step, 0), integers)


def _steps(span: Range) -> tuple[float, int]:
    """Return step and zero point of a range that holds zero, as litert-quantizer chooses them."""
    step = np.float32(span.high - span.low) / np.float32(255)
    return float(step), int(np.clip(np.rint(-128 - span.low / step), -128, 127))
