"""Operators of LiteRT that round otherwise than to the nearest integer.

Means of integers often lie halfway between two, and kernels round halves in their own ways. XNNPACK
multiplies by quotients of steps in float32, but for two operators it rounds the quotient to a
multiple of 1/256: the conversion of a concatenation's part to the step of the whole (``qs8-vcvt``)
and the leaky ReLU (``qs8-vlrelu``). Their outputs are then all too large or all too small, which
later biases can correct once it is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from converters.quantization.runtime_limits import step_of
from converters.quantization.tensor_range import Range
from converters.quantization.tensorflow_operators import OperatorOptions, Tensor
from converters.quantization.tflite_network import Operation, TfliteNetwork

MULTIPLIERS = 256
"""Multipliers of 8 bits are multiples of one part of this."""

TIE = 2.0**-12
"""Part of a step that moves a half to one side, and no other multiple of 1/4,096."""

_Kernel = Callable[[Tensor], Tensor]


def kernel_of(
    network: TfliteNetwork, operation: Operation, ranges: Mapping[int, Range]
) -> _Kernel | None:
    """Return the function from an integer operator's exact output to one that rounds as LiteRT.

    Args:
        network: The graph.
        operation: An integer operator.
        ranges: Range in which every tensor is written.

    Returns:
        None if LiteRT rounds the exact output.
    """
    match operation.kind:
        case "AVERAGE_POOL_2D":
            return _average_pool(ranges[operation.output])
        case "CONCATENATION":
            return _concatenation(network, operation, ranges)
        case "LEAKY_RELU":
            return _leaky_relu(operation, ranges)
        case "RESIZE_BILINEAR":
            return _halves_up(ranges[operation.output])
        case _:
            return None


def _average_pool(span: Range) -> _Kernel:
    """Halves go away from the integer 0 (``reference_integer_ops::AveragePool``)."""
    step = step_of(span)
    middle = step * (128 + np.rint(span.low / step))
    return lambda x: x + tf.sign(x - middle) * (TIE * step)


def _halves_up(span: Range) -> _Kernel:
    step = step_of(span)
    return lambda x: x + TIE * step


def _concatenation(
    network: TfliteNetwork, operation: Operation, ranges: Mapping[int, Range]
) -> _Kernel | None:
    options: OperatorOptions = operation.options
    step, rank = step_of(ranges[operation.output]), len(network.shapes[operation.output])
    axis = options.axis % rank
    if axis == 0 and rank > 1:  # this axis is joined with that of the pictures
        return None
    lengths = [network.shapes[tensor][axis] for tensor in operation.inputs]
    parts = [_quotient(tensor, ranges, step) for tensor in operation.inputs]
    factors = np.repeat(parts, lengths).reshape(-1, *[1] * (rank - 1 - axis)).astype(np.float32)
    halves_up = np.where(factors == 1, 0.0, TIE * step).astype(np.float32)
    return (lambda x: x * factors + halves_up) if np.any(factors != 1) else None


def _quotient(tensor: int, ranges: Mapping[int, Range], step: float) -> float:
    """Return 1 for a part with the step of the whole, and for a constant, which is stored in it."""
    part = step_of(ranges[tensor]) if tensor in ranges else step
    return 1.0 if np.float32(part) == np.float32(step) else coarse(part / step)


def _leaky_relu(operation: Operation, ranges: Mapping[int, Range]) -> _Kernel:
    options: OperatorOptions = operation.options
    step = step_of(ranges[operation.output])
    quotient = step_of(ranges[operation.inputs[0]]) / step
    positive, negative = coarse(quotient), coarse(quotient * options.alpha)
    return lambda x: x * tf.where(x > 0, positive, negative) + TIE * step


def coarse(quotient: float) -> float:
    """Return a quotient rounded to a multiplier of 8 bits, as a part of the exact one."""
    return float(np.rint(MULTIPLIERS * quotient) / (MULTIPLIERS * quotient))
