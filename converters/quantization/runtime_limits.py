"""Limits of LiteRT's integer kernels.

A kernel multiplies by a quotient of steps, which it stores in 32 bits. If the quotient is outside
of what it expects, LiteRT ends the process (``TFLITE_CHECK``) or clips without a word. Networks
with dead branches, dead channels or tiny values get there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from converters.quantization.rounding import LEVELS
from converters.quantization.scheme import share_ranges
from converters.quantization.tensor_range import Range
from converters.quantization.tflite_network import SAME_RANGE, Operation, TfliteNetwork

SUM_SHIFT = {8: 20, 16: 15}
"""Bits by which a sum's terms are shifted to the left, by the bits of the activations. Twice the
larger step of its terms, shifted back, must be smaller than the step of the sum
(``tensorflow/lite/kernels/add.cc``, ``sub.cc``: ``QuantizeMultiplierSmallerThanOneExp``)."""

DIFFERENCE_SHIFT = 7
"""The same for a squared difference of 8 bits, whose terms are then squared
(``kernels/squared_difference.cc``)."""

SOFTMAX_STEP = 2.0**-25
"""Least step of a softmax' input: its multiplier ``step * 2 ** 26`` must be greater than 1
(``kernels/internal/quantization_util.cc``: ``PreprocessSoftmaxScaling``)."""

HARD_SWISH_PART = 1 / 128
"""Least step of a hard swish' output, as a part of the step of its input: its multiplier must be
smaller than 1 (``kernels/activations.cc``: ``HardSwishPrepare``)."""

LARGEST_MULTIPLIER = 256.0
"""Bound of the step of a product of input and weight, in steps of the output. Beyond it XNNPACK
refuses the file (``xnn_create_convolution2d_nhwc_qs8_qc8w``)."""

JOINING = frozenset({"CONCATENATION", "MAXIMUM", "PACK", "PADV2", "SELECT", "SELECT_V2"})
"""Operators whose inputs have the step of their output."""

_ROOM = 1.25
"""Room to the bounds, because steps are rounded to float32. Not a power of two: between steps that
are, 16-bit sums take another path, which refuses some of them (``add.cc``)."""

LARGEST_BIAS = 2**30
"""Largest integer bias. The other half of the 32 bits is for the sum that it is added to."""


def step_of(span: Range, activation_bits: int = 8) -> float:
    """Return the step of a range. 16-bit activations have a range with zero in its middle."""
    if activation_bits == 16:
        return max(abs(span.low), abs(span.high)) / (2**15 - 1)
    return (span.high - span.low) / (2**8 - 1)


def possible_ranges(
    network: TfliteNetwork,
    ranges: Mapping[int, Range],
    weight_steps: Mapping[int, np.ndarray],
    activation_bits: int = 8,
) -> dict[int, Range]:
    """Return the ranges with those widened that LiteRT cannot compute with.

    Args:
        network: The graph.
        ranges: Range of every rounded tensor, each with a width.
        weight_steps: Steps of the weights of every integer kernel, by index of the operator.
        activation_bits: 8 or 16.
    """
    found = share_ranges(network, ranges)
    for operation in network.operations:
        inputs = [_step_of(network, tensor, found, activation_bits) for tensor in operation.inputs]
        if operation.kind == "SOFTMAX":
            tensor, least = operation.inputs[0], SOFTMAX_STEP
        else:
            weights = _weight_step(network, operation, weight_steps)
            tensor = operation.output
            least = _least_step(operation.kind, inputs, weights, activation_bits)
        for wide in (tensor, *_joined(network, tensor)):
            if wide in found and (step := step_of(found[wide], activation_bits)) < _ROOM * least:
                span, factor = found[wide], _ROOM * least / step
                found[wide] = Range(span.low * factor, span.high * factor)
                found = share_ranges(network, found)
    return found


def _joined(network: TfliteNetwork, tensor: int) -> Iterator[int]:
    """Yield the tensors whose range the quantizer gives to this one, because they hold it."""
    for reader in network.readers.get(tensor, ()):
        if reader.kind in JOINING:
            yield reader.output
            yield from _joined(network, reader.output)
        elif reader.kind in SAME_RANGE:
            yield from (t for output in reader.outputs for t in _joined(network, output))


def _weight_step(
    network: TfliteNetwork, operation: Operation, weight_steps: Mapping[int, np.ndarray]
) -> float:
    """Return the largest step of an operator's kernel; 0 if it has none."""
    if operation.index in weight_steps:
        return float(weight_steps[operation.index].max())
    if operation.kind == "TRANSPOSE_CONV" and operation.inputs[1] in network.constants:
        return float(np.abs(network.constants[operation.inputs[1]]).max()) / LEVELS
    return 0.0


def _least_step(kind: str, inputs: Sequence[float], weights: float, activation_bits: int) -> float:
    """Return the least step of an operator's output; 0 if any will do.

    Args:
        kind: The operator's kind.
        inputs: Step of every input, constants of sums included; 0 for one that is not rounded.
        weights: Largest step of its kernel; 0 if it has none.
        activation_bits: 8 or 16.
    """
    match kind:
        case "ADD" | "SUB":
            return float(2 * max(inputs) / 2 ** SUM_SHIFT[activation_bits])
        case "SQUARED_DIFFERENCE":
            return float((2 * max(inputs)) ** 2 / 4**DIFFERENCE_SHIFT)
        case "HARD_SWISH":
            return inputs[0] * HARD_SWISH_PART
        case _:
            return inputs[2 if kind == "TRANSPOSE_CONV" else 0] * weights / LARGEST_MULTIPLIER


def _step_of(
    network: TfliteNetwork, tensor: int, ranges: Mapping[int, Range], activation_bits: int
) -> float:
    if tensor in ranges:
        return step_of(ranges[tensor], activation_bits)
    if tensor < 0 or tensor in network.integers or tensor not in network.constants:
        return 0.0
    return step_of(_range_of(network.constants[tensor]), activation_bits)


def _range_of(values: np.ndarray) -> Range:
    return Range(min(0.0, float(values.min())), max(0.0, float(values.max())))


def least_weight_steps(bias: np.ndarray, span: Range, activation_bits: int = 8) -> np.ndarray:
    """Return the least steps of the weights with which no integer bias is clipped.

    An integer bias counts products of the steps of input and weight. The weights of a channel may
    be so small beside its bias that 32 bits do not hold it. With a larger step they round to zero,
    which changes the channel by less than a ten-thousandth of its bias.

    Args:
        bias: float32 ``(outputs,)``.
        span: Range of the input.
        activation_bits: 8 or 16.

    Returns:
        float64 ``(outputs,)``.
    """
    least: np.ndarray = np.abs(bias.astype(np.float64)) / LARGEST_BIAS
    return least / step_of(span, activation_bits)
