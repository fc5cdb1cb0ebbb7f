"""What is rounded and how: weights, and a range for every rounded tensor."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from converters.quantization.settings import WeightGrid
from converters.quantization.tensor_range import Range
from converters.quantization.tflite_network import (
    SAME_VALUES,
    Operation,
    Parameters,
    TfliteNetwork,
)


@dataclass(frozen=True)
class Scheme:
    """What is rounded and how: weights, and a range for every rounded tensor."""

    parameters: Mapping[int, Parameters]
    """By operator index; not rounded."""
    ranges: Mapping[int, Range]
    """By tensor index."""
    float_operations: frozenset[int]
    """Operators that compute in float, by index."""
    grid: WeightGrid = WeightGrid.FULL
    """What weights are rounded to, but those of the float head, which is always ``FULL``."""

    def grid_of(self, network: TfliteNetwork, operation: Operation) -> WeightGrid | None:
        """What an operator's kernel is rounded to; None where it stays as it is."""
        if operation.index in network.head:
            return WeightGrid.FULL
        return None if operation.index in self.float_operations else self.grid


def rounded_tensors(network: TfliteNetwork, float_operations: Collection[int]) -> frozenset[int]:
    """Tensors that an integer operator reads or writes."""
    return frozenset(
        tensor
        for operation in network.operations
        if operation.index not in float_operations
        for tensor in (*operation.inputs, *operation.outputs)
        if tensor >= 0 and tensor not in network.constants
    )


FIXED_RANGES = {"LOGISTIC": Range(0.0, 255 / 256), "TANH": Range(-1.0, 127 / 128)}
"""Of operators whose integer kernels know one step only."""


def share_ranges(network: TfliteNetwork, ranges: Mapping[int, Range]) -> dict[int, Range]:
    """Set the ranges that runtimes demand.

    Both sides of operators that only move values have one range; sigmoid and tanh have a fixed one
    (LiteRT 8-bit spec).
    """
    shared = dict(ranges)
    for operation in network.operations:
        if operation.kind in FIXED_RANGES and operation.output in shared:
            shared[operation.output] = FIXED_RANGES[operation.kind]
        if operation.kind in SAME_VALUES and operation.inputs[0] in shared:
            shared[operation.output] = shared[operation.inputs[0]]
    return shared
