"""An ONNX graph in the making, for the tensors of a TFLite network.

A tensor of four axes can be held with its channels last, as in TFLite, or first, as convolutions of
ONNX want it. It is transposed when an operator first asks for the other layout. A rounded tensor is
held as integers, which are widened to float where an operator reads them. Operators that only move
values move the integers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import onnx
from onnx import helper, numpy_helper

from converters.errors import ModelConversionError
from converters.quantization.tensor_range import Range
from converters.quantization.tflite_network import Operation, TfliteNetwork

Attribute = int | float | str | Sequence[int]

LEVELS = 255
"""Steps between the smallest and the largest integer of an activation."""


class Layout(Enum):
    """The place of the channels in a tensor of four axes."""

    LAST = (0, 2, 3, 1)
    """The order of axes that makes this layout of the other one."""
    FIRST = (0, 3, 1, 2)


@dataclass(frozen=True)
class Rounding:
    """The integers of an activation: ``value = step * (integer - zero)``."""

    step: np.float32
    zero: np.generic
    """uint8, or int8 for processors that multiply signed integers."""
    span: Range
    """The range that the integers were made for."""

    @classmethod
    def of(cls, span: Range, *, signed: bool) -> Rounding:
        """Return the integers of a range that holds zero, which is exact."""
        step = np.float32((span.high - span.low) / LEVELS)
        zero = int(np.clip(np.rint(-span.low / step), 0, LEVELS))
        return cls(step, np.int8(zero - 128) if signed else np.uint8(zero), span)

    def is_like(self, other: Rounding) -> bool:
        """Return True for the same step and zero."""
        return bool(self.step == other.step and self.zero == other.zero)


class OnnxBuilder:
    """Nodes and constants of a graph, and the names of the tensors that are written already."""

    def __init__(self, network: TfliteNetwork, roundings: Mapping[int, Rounding]) -> None:
        self.network = network
        self.roundings = roundings
        self.nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}
        self._shapes: dict[int, tuple[int, ...]] = {}
        self._floats: dict[tuple[int, Layout], str] = {}
        self._integers: dict[tuple[int, Layout], str] = {}

    @property
    def constants(self) -> list[onnx.TensorProto]:
        """The constants that nodes read."""
        return list(self._constants.values())

    @property
    def integer_names(self) -> Mapping[tuple[int, Layout], str]:
        """Names of the integers of rounded tensors, by tensor and layout."""
        return self._integers

    def constant(self, values: np.ndarray, name: str) -> str:
        """Return the name of a constant. Equal constants are stored once."""
        values = np.asarray(values, order="C")  # a scalar stays one: integer kernels ask for it
        key = (values.dtype.str, values.shape, values.tobytes())
        if key not in self._constants:
            unique = f"{name}_{len(self._constants)}"
            self._constants[key] = numpy_helper.from_array(values, unique)
        return str(self._constants[key].name)

    def node(
        self,
        kind: str,
        inputs: Sequence[str],
        name: str,
        attributes: Mapping[str, Attribute] | None = None,
    ) -> str:
        """Add a node with one output. Return the output's name, which is the node's as well."""
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **(attributes or {})))
        return name

    def name(self, operation: Operation) -> str:
        """Return a unique name that tells the layer: ``serving/conv1/conv_2d_3``."""
        layer = operation.layer.replace("/", ".")
        return f"serving/{layer}/{operation.kind.lower()}_{operation.index}"

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return the shape of a tensor, for one picture."""
        return self._shapes.get(tensor, self.network.shapes[tensor])

    def restore_batch(self, tensor: int) -> tuple[int, ...]:
        """Give a tensor of one axis the leading axis that TFLite dropped. Return its shape.

        For one picture ``(channels,)`` is as good as ``(1, channels)``.
        """
        shape = self.network.shapes[tensor]
        if len(shape) == 1 and shape[0] > 1:
            self._shapes[tensor] = (1, *shape)
        return self.shape(tensor)

    def is_first(self, tensor: int) -> bool:
        """Return True for a tensor that is held with its channels first."""
        key = (tensor, Layout.FIRST)
        return key in self._floats or key in self._integers

    def fixed(self, tensor: int) -> np.ndarray:
        """Return a constant of the network.

        Raises:
            ModelConversionError: The tensor is computed.
        """
        if tensor not in self.network.constants:
            raise ModelConversionError(
                f"{self.network.names[tensor]!r} is computed by the graph; expected a constant"
            )
        return self.network.constants[tensor]

    def read(self, tensor: int, layout: Layout = Layout.LAST) -> str:
        """Return the name of a tensor's values."""
        if tensor in self.network.constants:
            return self._read_constant(tensor, layout)
        key = (tensor, layout)
        if key not in self._floats:
            if tensor in self.roundings:
                self._floats[key] = self._widened(self.integers(tensor, layout), tensor)
            else:
                self._floats[key] = self._other_layout(self._floats, tensor, layout)
        return self._floats[key]

    def integers(self, tensor: int, layout: Layout = Layout.LAST) -> str:
        """Return the name of a rounded tensor's integers."""
        key = (tensor, layout)
        if key not in self._integers:
            self._integers[key] = self._other_layout(self._integers, tensor, layout)
        return self._integers[key]

    def write(self, tensor: int, name: str, layout: Layout = Layout.LAST) -> None:
        """Declare that a tensor's values have this name. A rounded tensor is rounded here."""
        if tensor not in self.roundings:
            self._floats[tensor, layout] = name
            return
        parts = [name, *self._rounding_of(tensor)]
        self._integers[tensor, layout] = self.node("QuantizeLinear", parts, f"{name}_integers")

    def move(
        self,
        operation: Operation,
        layouts: tuple[Layout, Layout],
        build: Callable[[str, np.generic], str],
    ) -> None:
        """Add an operator that only moves values. It moves integers if its output is rounded alike.

        Args:
            operation: The operator.
            layouts: Layouts of its input and of its output.
            build: Gets the input's name and the number that stands for zero. Adds the nodes and
                returns the output's name.
        """
        source, target = operation.inputs[0], operation.output
        before, after = self.roundings.get(source), self.roundings.get(target)
        if before is not None and after is not None and before.is_like(after):
            moved = build(self.integers(source, layouts[0]), before.zero)
            self._integers[target, layouts[1]] = moved
        else:
            self.write(target, build(self.read(source, layouts[0]), np.float32(0)), layouts[1])

    def rename(self, old: str, new: str) -> None:
        """Give a computed tensor another name."""
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [new if name == old else name for name in names]

    def _rounding_of(self, tensor: int) -> list[str]:
        rounding = self.roundings[tensor]
        return [
            self.constant(np.asarray(rounding.step), f"step_{tensor}"),
            self.constant(np.asarray(rounding.zero), f"zero_{tensor}"),
        ]

    def _widened(self, integers: str, tensor: int) -> str:
        parts = [integers, *self._rounding_of(tensor)]
        return self.node("DequantizeLinear", parts, f"{integers}_widened")

    def _other_layout(
        self, names: Mapping[tuple[int, Layout], str], tensor: int, layout: Layout
    ) -> str:
        other = Layout.LAST if layout is Layout.FIRST else Layout.FIRST
        source = names[tensor, other]
        return self.node(
            "Transpose",
            [source],
            f"{source}_{'nchw' if layout is Layout.FIRST else 'nhwc'}",
            {"perm": layout.value},
        )

    def _read_constant(self, tensor: int, layout: Layout) -> str:
        values, name = self.network.constants[tensor], f"constant_{tensor}"
        if layout is Layout.FIRST:
            wide = values.reshape((1,) * (4 - values.ndim) + values.shape)
            return self.constant(wide.transpose(layout.value), name)
        return self.constant(values, name)
