"""The scheme of a quantized network: its weights, and a range for every rounded tensor."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

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
    """Integers for the weights. The weights of the float head always use ``FULL``."""

    def grid_of(self, network: TfliteNetwork, operation: Operation) -> WeightGrid | None:
        """Return the integers for an operator's kernel; None if it is not rounded."""
        if operation.index in network.head:
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


FIXED_RANGES = {"LOGISTIC": Range(0.0, 255 / 256), "TANH": Range(-1.0, 127 / 128)}
"""Output ranges of operators whose integer kernels have one fixed step."""


def share_ranges(network: TfliteNetwork, ranges: Mapping[int, Range]) -> dict[int, Range]:
    """Return the ranges with those that runtimes demand.

    Input and output of an operator that moves values or averages them share one range. Sigmoid and
    tanh have a fixed range (LiteRT 8-bit spec).
    """
    shared = dict(ranges)
    for operation in network.operations:
        if operation.kind in FIXED_RANGES and operation.output in shared:
            shared[operation.output] = FIXED_RANGES[operation.kind]
        if operation.kind in SAME_RANGE and operation.moved in shared:
            shared |= dict.fromkeys(operation.outputs, shared[operation.moved])
    return shared
