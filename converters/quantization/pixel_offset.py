"""The number that a network subtracts from every pixel, made whole where pixels have 8 bits.

Preprocessing often subtracts 127.5. With an exact zero, which padding needs, every difference lies
halfway between two integers then. XNNPACK rounds it up, onnxruntime to the even integer, and other
kernels of LiteRT away from zero, so no bias can undo the error everywhere. A pixel minus a whole
number is an integer: nothing is rounded, and the half level is a shift that corrected biases undo.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from converters.quantization.tensor_range import Range
from converters.quantization.tflite_network import Operation, TfliteNetwork

BRIGHTEST = 255.0


@dataclass(frozen=True)
class PixelOffset:
    """One number that is subtracted from every pixel."""

    operation: Operation
    """The subtraction."""
    whole: float
    """The nearest whole number."""

    @property
    def range(self) -> Range:
        """The range of the differences. Its step is 1, so it needs all 8 bits and no more."""
        return Range(-self.whole, BRIGHTEST - self.whole)


def pixel_offset(network: TfliteNetwork) -> PixelOffset | None:
    """Return the offset; None if there is none, or one of its own for every channel."""
    for operation in network.readers.get(network.image, ()):
        image, constant = (*operation.inputs, -1)[:2]
        is_plain = operation.kind == "SUB" and operation.activation == "NONE"
        if not is_plain or image != network.image or constant not in network.constants:
            continue
        values = network.constants[constant]
        alone = len(network.readers[constant]) == 1
        if alone and values.min() == values.max() and 0 <= values.min() <= BRIGHTEST:
            return PixelOffset(operation, float(np.rint(values.min())))
    return None


def with_whole_offset(network: TfliteNetwork, rounded: Collection[int]) -> TfliteNetwork:
    """Return the network that subtracts a whole number, if the differences are rounded.

    Args:
        network: The float graph.
        rounded: Tensors that are rounded to 8 bits.
    """
    offset = pixel_offset(network)
    if offset is None or offset.operation.output not in rounded:
        return network
    constant = offset.operation.inputs[1]
    whole = np.full_like(network.constants[constant], offset.whole)
    return replace(network, constants={**network.constants, constant: whole})
