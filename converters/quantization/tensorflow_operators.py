"""TFLite operators as TensorFlow computes them, for many pictures at once.

A file computes one picture. Here every computed argument has one more axis in front: its shape is
``(pictures, *shape in the file)``. So an operator needs no batch axis of its own, and it does not
matter if the converter dropped the file's batch of 1 or moved it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from converters.quantization.tflite_network import Operation

Tensor = Any
"""A ``tf.Tensor``; TensorFlow comes without types."""

OperatorOptions = Any
"""An operator's options, in the class that the TFLite schema generates."""

PADDINGS = ("SAME", "VALID")
"""TensorFlow's names of the schema's paddings."""


@dataclass(frozen=True)
class OperatorCall:
    """One operator with its arguments."""

    operation: Operation
    arguments: tuple[Tensor, ...]
    """Computed ones ``(pictures, *shape in the file)``, constants as arrays in the file's shape;
    None for an absent one."""
    is_computed: tuple[bool, ...]
    """True for an argument that the graph computes."""
    shapes: tuple[tuple[int, ...], ...]
    """Shapes of the outputs in the file."""

    @property
    def options(self) -> OperatorOptions:
        """The schema's options of this operator."""
        return self.operation.options

    @property
    def x(self) -> Tensor:
        """The first argument."""
        return self.arguments[0]

    def rank(self, place: int) -> int:
        """Return the rank of an argument in the file."""
        return len(self.arguments[place].shape) - self.is_computed[place]

    def integers(self, place: int) -> list[int]:
        """Return a constant argument as integers."""
        return [int(value) for value in np.asarray(self.arguments[place]).reshape(-1)]


Outputs = Tensor | Sequence[Tensor]
Compute = Callable[[OperatorCall], Outputs]


def can_compute(operation: Operation, constants: Mapping[int, np.ndarray]) -> bool:
    """Return True if TensorFlow computes this operator here."""
    if operation.kind not in _OPERATORS:
        return False
    places = _CONSTANT_ARGUMENTS.get(operation.kind, ())
    read = [operation.inputs[place] for place in places if place < len(operation.inputs)]
    return all(tensor in constants for tensor in read) and _moves_as_known(operation)


def compute_operator(call: OperatorCall) -> tuple[Tensor, ...]:
    """Return the outputs before the fused activation, ``(pictures, *shape in the file)``.

    Args:
        call: An operator for which ``can_compute`` is true.
    """
    found = _OPERATORS[call.operation.kind](call)
    return tuple(found) if isinstance(found, (list, tuple)) else (found,)


def _moves_as_known(operation: Operation) -> bool:
    """Return False for slices with axes that appear or that ``...`` stands for."""
    options: OperatorOptions = operation.options
    if operation.kind == "STRIDED_SLICE":
        return not (options.ellipsisMask or options.newAxisMask)
    return operation.kind != "GATHER" or not options.batchDims


def _aligned(call: OperatorCall) -> list[Tensor]:
    """Return the arguments with equal ranks, so that they broadcast as they do in the file."""
    rank = max(call.rank(place) for place in range(len(call.arguments)))
    found = []
    for place, values in enumerate(call.arguments):
        if call.is_computed[place] and (missing := rank - call.rank(place)):
            values = tf.reshape(values, [-1, *[1] * missing, *values.shape[1:]])
        found.append(values)
    return found


def _elementwise(function: Callable[..., Tensor]) -> Compute:
    return lambda call: function(*_aligned(call))


def _unary(function: Callable[[Tensor], Tensor]) -> Compute:
    return lambda call: function(call.x)


def _by_rows(function: Callable[[OperatorCall, Tensor], Tensor]) -> Compute:
    """Return an operator whose function sees pictures and the file's batch as one axis."""

    def compute(call: OperatorCall) -> Tensor:
        rows = tf.reshape(call.x, [-1, *call.x.shape[2:]])
        return tf.reshape(function(call, rows), [-1, *call.shapes[0]])

    return compute


def _pool(function: Callable[..., Tensor]) -> Compute:
    def pool(call: OperatorCall, rows: Tensor) -> Tensor:
        size = [call.options.filterHeight, call.options.filterWidth]
        strides = [call.options.strideH, call.options.strideW]
        return function(rows, size, strides, PADDINGS[call.options.padding])

    return _by_rows(pool)


def _resize(function: Callable[..., Tensor]) -> Compute:
    return _by_rows(
        lambda call, rows: function(
            images=rows,
            size=call.shapes[0][1:3],
            align_corners=call.options.alignCorners,
            half_pixel_centers=call.options.halfPixelCenters,
        )
    )


def _transpose_conv(call: OperatorCall) -> Tensor:
    """The arguments are the output's shape, the kernel (out, height, width, in), the tensor."""
    kernel, x = np.asarray(call.arguments[1]).transpose(1, 2, 0, 3), call.arguments[2]
    rows = tf.reshape(x, [-1, *x.shape[2:]])
    y = tf.nn.conv2d_transpose(
        rows,
        kernel,
        [tf.shape(rows)[0], *call.shapes[0][1:]],
        [call.options.strideH, call.options.strideW],
        PADDINGS[call.options.padding],
    )
    if len(call.arguments) > 3 and call.arguments[3] is not None:
        y = tf.nn.bias_add(y, call.arguments[3])
    return tf.reshape(y, [-1, *call.shapes[0]])


def _reshape(call: OperatorCall) -> Tensor:
    return tf.reshape(call.x, [-1, *call.shapes[0]])


def _axes(call: OperatorCall, axes: Sequence[int], rank: int | None = None) -> list[int]:
    """Return axes of the file as axes behind that of the pictures."""
    rank = call.rank(0) if rank is None else rank
    return [axis % rank + 1 for axis in axes]


def _reduce(function: Callable[..., Tensor]) -> Compute:
    return lambda call: function(call.x, _axes(call, call.integers(1)), call.options.keepDims)


def _paddings(call: OperatorCall) -> np.ndarray:
    return np.concatenate([[[0, 0]], np.asarray(call.arguments[1])])


def _strided_slice(call: OperatorCall) -> Tensor:
    options, first = call.options, 1  # the bit of the pictures' axis
    begin, end, strides = (call.integers(place) for place in (1, 2, 3))
    found = tf.strided_slice(
        call.x,
        [0, *begin],
        [0, *end],
        [1, *strides],
        begin_mask=options.beginMask << 1 | first,
        end_mask=options.endMask << 1 | first,
        shrink_axis_mask=options.shrinkAxisMask << 1,
    )
    return tf.reshape(found, [-1, *call.shapes[0]])


def _slice(call: OperatorCall) -> Tensor:
    return tf.slice(call.x, [0, *call.integers(1)], [-1, *call.integers(2)])


def _split(call: OperatorCall) -> Outputs:
    """The axis comes first, then the tensor."""
    (axis,) = _axes(call, call.integers(0), call.rank(1))
    parts: Outputs = tf.split(call.arguments[1], call.options.numSplits, axis)
    return parts


def _split_by_size(call: OperatorCall) -> Outputs:
    (axis,) = _axes(call, call.integers(2))
    parts: Outputs = tf.split(call.x, call.integers(1), axis)
    return parts


def _for_all_pictures(call: OperatorCall) -> list[Tensor]:
    """Return all arguments with the pictures' axis, constants repeated along it."""
    (one, *_) = [
        x for x, known in zip(call.arguments, call.is_computed, strict=True) if known
    ] or call.arguments
    count = tf.shape(one)[0]
    return [
        x if known else tf.repeat(tf.constant(x)[tf.newaxis], count, axis=0)
        for x, known in zip(call.arguments, call.is_computed, strict=True)
    ]


def _concatenate(call: OperatorCall) -> Tensor:
    (axis,) = _axes(call, [call.options.axis])
    return tf.concat(_for_all_pictures(call), axis)


def _pack(call: OperatorCall) -> Tensor:
    (axis,) = _axes(call, [call.options.axis], call.rank(0) + 1)
    return tf.stack(_for_all_pictures(call), axis)


def _unpack(call: OperatorCall) -> Outputs:
    (axis,) = _axes(call, [call.options.axis])
    parts: Outputs = tf.unstack(call.x, call.options.num, axis)
    return parts


def _gather(call: OperatorCall) -> Tensor:
    (axis,) = _axes(call, [call.options.axis])
    return tf.gather(call.x, np.asarray(call.arguments[1]), axis=axis)


def _batch_matmul(call: OperatorCall) -> Tensor:
    one, other = _aligned(call)
    return tf.matmul(one, other, adjoint_a=call.options.adjX, adjoint_b=call.options.adjY)


def _transpose(call: OperatorCall) -> Tensor:
    return tf.transpose(call.x, [0, *_axes(call, call.integers(1))])


def _mirror_pad(call: OperatorCall) -> Tensor:
    return tf.pad(call.x, _paddings(call), "SYMMETRIC" if call.options.mode else "REFLECT")


_CONSTANT_ARGUMENTS: Mapping[str, tuple[int, ...]] = {
    "EXPAND_DIMS": (1,),
    "GATHER": (1,),
    "MEAN": (1,),
    "MIRROR_PAD": (1,),
    "PAD": (1,),
    "PADV2": (1, 2),
    "REDUCE_MAX": (1,),
    "REDUCE_MIN": (1,),
    "REDUCE_PROD": (1,),
    "REVERSE_V2": (1,),
    "SLICE": (1, 2),
    "SPLIT": (0,),
    "SPLIT_V": (1, 2),
    "STRIDED_SLICE": (1, 2, 3),
    "SUM": (1,),
    "TILE": (1,),
    "TRANSPOSE": (1,),
    "TRANSPOSE_CONV": (0, 1),
}
"""Places of arguments that must be constants."""

_OPERATORS: Mapping[str, Compute] = {
    "ABS": _unary(tf.abs),
    "ADD": _elementwise(tf.add),
    "AVERAGE_POOL_2D": _pool(tf.nn.avg_pool2d),
    "BATCH_MATMUL": _batch_matmul,
    "CONCATENATION": _concatenate,
    "DIV": _elementwise(tf.divide),
    "ELU": _unary(tf.nn.elu),
    "EXP": _unary(tf.exp),
    "EXPAND_DIMS": _reshape,
    "FLOOR": _unary(tf.floor),
    "GATHER": _gather,
    "GELU": lambda call: tf.nn.gelu(call.x, approximate=call.options.approximate),
    "HARD_SWISH": _unary(lambda x: x * tf.nn.relu6(x + 3.0) / 6.0),
    "LEAKY_RELU": lambda call: tf.nn.leaky_relu(call.x, call.options.alpha),
    "LOG": _unary(tf.math.log),
    "LOGISTIC": _unary(tf.sigmoid),
    "LOG_SOFTMAX": _unary(tf.nn.log_softmax),
    "MAX_POOL_2D": _pool(tf.nn.max_pool2d),
    "MAXIMUM": _elementwise(tf.maximum),
    "MEAN": _reduce(tf.reduce_mean),
    "MINIMUM": _elementwise(tf.minimum),
    "MIRROR_PAD": _mirror_pad,
    "MUL": _elementwise(tf.multiply),
    "NEG": _unary(tf.negative),
    "PACK": _pack,
    "PAD": lambda call: tf.pad(call.x, _paddings(call)),
    "PADV2": lambda call: tf.pad(
        call.x, _paddings(call), constant_values=np.asarray(call.arguments[2]).item()
    ),
    "POW": _elementwise(tf.pow),
    "PRELU": _elementwise(lambda x, slope: tf.where(x > 0, x, x * slope)),
    "REDUCE_MAX": _reduce(tf.reduce_max),
    "REDUCE_MIN": _reduce(tf.reduce_min),
    "REDUCE_PROD": _reduce(tf.reduce_prod),
    "RELU": _unary(tf.nn.relu),
    "RELU6": _unary(tf.nn.relu6),
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": _resize(tf.raw_ops.ResizeBilinear),
    "RESIZE_NEAREST_NEIGHBOR": _resize(tf.raw_ops.ResizeNearestNeighbor),
    "REVERSE_V2": lambda call: tf.reverse(call.x, _axes(call, call.integers(1))),
    "RSQRT": _unary(tf.math.rsqrt),
    "SLICE": _slice,
    "SOFTMAX": lambda call: tf.nn.softmax(call.options.beta * call.x),
    "SPLIT": _split,
    "SPLIT_V": _split_by_size,
    "SQRT": _unary(tf.sqrt),
    "SQUARE": _unary(tf.square),
    "SQUARED_DIFFERENCE": _elementwise(tf.math.squared_difference),
    "SQUEEZE": _reshape,
    "STRIDED_SLICE": _strided_slice,
    "SUB": _elementwise(tf.subtract),
    "SUM": _reduce(tf.reduce_sum),
    "TANH": _unary(tf.tanh),
    "TILE": lambda call: tf.tile(call.x, [1, *call.integers(1)]),
    "TRANSPOSE": _transpose,
    "TRANSPOSE_CONV": _transpose_conv,
    "UNPACK": _unpack,
}
