"""Dense layers in float whose weights are stored in 8 bits, as convolutions of one pixel.

LiteRT's GPU delegate for WebGPU refuses a FULLY_CONNECTED whose weights come out of DEQUANTIZE
("Shape mismatch"), and takes a CONV_2D of the same numbers. The answers are the same in every bit,
and XNNPACK takes the same time: it computes both as one matrix product.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.tflite.flatbuffer import new_operator, operator_kind


def dense_as_convolutions(model: schema.ModelT) -> None:
    """Turn each FULLY_CONNECTED over dequantized weights into CONV_2D between two RESHAPE.

    Args:
        model: From ``read_flatbuffer``; changed in place. Dense layers whose weights are float or
            integer operands themselves, or are read elsewhere too, stay as they are.
    """
    graph = _Graph(model)
    for operator in [op for op in graph.operators if graph.kind_of(op) == "FULLY_CONNECTED"]:
        stored = graph.stored_weights(operator)
        if stored is not None:
            graph.replace(operator, stored)


class _Graph:
    """The graph while it is changed."""

    def __init__(self, model: schema.ModelT) -> None:
        self._model, self._graph = model, model.subgraphs[0]
        self._writers = {int(t): op for op in self.operators for t in op.outputs}
        self._reads = Counter(int(t) for op in self.operators for t in op.inputs)

    @property
    def operators(self) -> list[schema.OperatorT]:
        return self._graph.operators  # type: ignore[no-any-return]

    def kind_of(self, operator: schema.OperatorT) -> str:
        return operator_kind(self._model, operator)

    def stored_weights(self, dense: schema.OperatorT) -> schema.TensorT | None:
        """Return the int8 constant behind a layer's weights; None without one of its own."""
        writer = self._writers.get(int(dense.inputs[1]))
        if writer is None or self.kind_of(writer) != "DEQUANTIZE":
            return None
        stored = self._graph.tensors[int(writer.inputs[0])]
        own = self._reads[int(writer.inputs[0])] == self._reads[int(dense.inputs[1])] == 1
        constant = self._model.buffers[stored.buffer].data is not None
        return stored if own and constant and stored.type == schema.TensorType.INT8 else None

    def replace(self, dense: schema.OperatorT, stored: schema.TensorT) -> None:
        source, weights = int(dense.inputs[0]), int(dense.inputs[1])
        given = [int(tensor) for tensor in dense.inputs[2:] if tensor >= 0]
        target, tensors = int(dense.outputs[0]), self._graph.tensors
        outputs, inputs = (int(side) for side in stored.shape)
        # A convolution must have a bias.
        bias = given or [self._constant(target, np.zeros(outputs, np.float32), b"_bias")]
        rows = int(np.prod(tensors[source].shape)) // inputs
        kernel = np.array([outputs, 1, 1, inputs], np.int32)
        for tensor in (stored, tensors[weights]):
            tensor.shape, tensor.shapeSignature = kernel, None
        wide = self._tensor(source, (1, rows, 1, inputs), b"_pixels")
        answer = self._tensor(target, (1, rows, 1, outputs), b"_pixels")
        place = self.operators.index(dense)
        self.operators[place : place + 1] = [
            self._reshape(source, wide),
            self._convolution(dense, [wide, weights, *bias], answer),
            self._reshape(answer, target),
        ]

    def _tensor(self, like: int, shape: tuple[int, ...], suffix: bytes) -> int:
        """Add a tensor of another shape that an operator writes; return its index."""
        original = self._graph.tensors[like]
        return self._add(shape, original.type, original.name + suffix, schema.BufferT())

    def _constant(self, of: int, values: np.ndarray, suffix: bytes) -> int:
        """Add a list of float32 or int32 numbers, named after a tensor; return its index."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        whole = np.issubdtype(values.dtype, np.integer)
        kind = schema.TensorType.INT32 if whole else schema.TensorType.FLOAT32
        return self._add(values.shape, kind, self._graph.tensors[of].name + suffix, buffer)

    def _add(self, shape: tuple[int, ...], kind: int, name: bytes, buffer: schema.BufferT) -> int:
        self._model.buffers.append(buffer)
        tensor = schema.TensorT()
        tensor.shape, tensor.type = np.array(shape, np.int32), kind
        tensor.buffer, tensor.name = len(self._model.buffers) - 1, name
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _reshape(self, source: int, target: int) -> schema.OperatorT:
        options = schema.ReshapeOptionsT()
        options.newShape = np.array(self._graph.tensors[target].shape, np.int32)
        constant = self._constant(target, options.newShape, b"_shape")
        return new_operator(self._model, "RESHAPE", [source, constant], target, options)

    def _convolution(
        self, dense: schema.OperatorT, inputs: list[int], output: int
    ) -> schema.OperatorT:
        options = schema.Conv2DOptionsT()
        options.padding = schema.Padding.VALID
        options.strideW = options.strideH = 1
        options.dilationWFactor = options.dilationHFactor = 1
        options.fusedActivationFunction = dense.builtinOptions.fusedActivationFunction
        return new_operator(self._model, "CONV_2D", inputs, output, options)
