"""The scheme of a quantized network: its weights, and a range for every rounded tensor."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from converters.quantization.pixel_offset import pixel_offset
from converters.quantization.settings import WeightGrid
from converters.quantization.tensor_range import Range
from converters.quantization.tflite_network import (
    SAME_RANGE,
    Operation,
    Parameters,
    TfliteNetwork,
)


@dataclass(frozen=True)
class Scheme:
    """Weights, a range for every rounded tensor, and the operators that stay in float."""

    parameters: Mapping[int, Parameters]
    """Weights before rounding, by index of the operator."""
    ranges: Mapping[int, Range]
    """Range of every rounded tensor, by index of the tensor."""
    float_operations: frozenset[int]
    """Operators that compute in float, by index."""
    grid: WeightGrid = WeightGrid.FULL
    """Integers for the weights. Those of the float head are ``FULL`` whatever it is, or float."""
    weight_only: frozenset[int] = frozenset()
    """Float operators whose kernels are stored in 8 bits like the head's, by index."""
    has_float_head: bool = False
    """True if the kernel of the float head is stored in float32."""

    def grid_of(self, network: TfliteNetwork, operation: Operation) -> WeightGrid | None:
        """Return the integers for an operator's kernel; None if it is not rounded."""
        if operation.index in network.head:
            return None if self.has_float_head else WeightGrid.FULL
        if operation.index in self.weight_only:
            return WeightGrid.FULL
        return None if operation.index in self.float_operations else self.grid


def rounded_tensors(network: TfliteNetwork, float_operations: Collection[int]) -> frozenset[int]:
    """Return the tensors that an integer operator reads or writes."""
    return frozenset(
        tensor
        for operation in network.operations
        if operation.index not in float_operations
        for tensor in (*operation.inputs, *operation.outputs)
        if tensor >= 0 and tensor not in network.constants and tensor not in network.integers
    )


FIXED_RANGES = {
    "LOGISTIC": Range(0.0, 255 / 256),
    "SOFTMAX": Range(0.0, 255 / 256),
    "TANH": Range(-1.0, 127 / 128),
}
"""Output ranges of operators whose integer kernels have one fixed step."""


def share_ranges(network: TfliteNetwork, ranges: Mapping[int, Range]) -> dict[int, Range]:
    """Return the ranges with those that runtimes demand.

    Input and output of an operator that moves values or averages them share one range. Sigmoid,
    softmax and tanh have a fixed range (LiteRT 8-bit spec). So have pixels minus a number.
    """
    shared = dict(ranges)
    offset = pixel_offset(network)
    if offset is not None and offset.operation.output in shared:
        shared[offset.operation.output] = offset.range
    for operation in network.operations:
        if operation.kind in FIXED_RANGES and operation.output in shared:
            shared[operation.output] = FIXED_RANGES[operation.kind]
        if operation.kind in SAME_RANGE and operation.moved in shared:
            shared |= dict.fromkeys(operation.outputs, shared[operation.moved])
    return shared


WIDE_MARGIN = 1.9
"""Ranges of 16 bits are this multiple of the extremes. It costs a bit, and other pictures clip
nothing. It is not 2, because LiteRT refuses some sums whose steps are all powers of two."""


def wide_ranges(network: TfliteNetwork, extremes: Mapping[int, Range]) -> dict[int, Range]:
    """Return the ranges for 16-bit activations."""
    fixed = {network.image, network.answer}
    wide = {
        tensor: span if tensor in fixed else Range(span.low * WIDE_MARGIN, span.high * WIDE_MARGIN)
        for tensor, span in extremes.items()
    }
    return share_ranges(network, wide)
