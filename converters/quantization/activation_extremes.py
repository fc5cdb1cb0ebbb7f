"""What every tensor of a network holds on calibration pictures: extremes by channel.

Bounded in memory, whatever the number of pictures; independent of their order; and mergeable, so
that parts can be collected on several machines and added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from converters.quantization.tensor_range import Range, not_finite
from converters.quantization.tensorflow_execution import (
    Tensor,
    Weights,
    batches,
    check_operations,
    run,
)
from converters.quantization.tflite_network import Operation, TfliteNetwork


@dataclass(frozen=True)
class Extremes:
    """Smallest and largest value of every channel of one tensor, float64 ``(channels,)``."""

    low: np.ndarray
    high: np.ndarray

    def merge(self, other: Extremes) -> Extremes:
        """The extremes of both."""
        return Extremes(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    @property
    def range(self) -> Range:
        """Of the whole tensor; it holds zero, as every quantized range must."""
        return Range(min(0.0, float(self.low.min())), max(0.0, float(self.high.max())))

    def scaled(self, factor: np.ndarray) -> Extremes:
        """The extremes after every channel was multiplied by a positive factor."""
        return Extremes(self.low * factor, self.high * factor)


Statistics = Mapping[int, Extremes]
"""Of every computed tensor, by its index."""


def merge_statistics(first: Statistics, second: Statistics) -> Statistics:
    """Add what two sets of pictures gave."""
    return {tensor: first[tensor].merge(second[tensor]) for tensor in first}


def measure_activations(
    network: TfliteNetwork,
    weights: Mapping[int, Weights],
    pictures: np.ndarray,
    progress: Callable[[int], None] | None = None,
    order: np.ndarray | None = None,
) -> Statistics:
    """Measure the extremes of every tensor that has to be represented.

    What a ReLU discards need not be represented. Where a sum goes through a ReLU and one of its
    terms goes nowhere else, that term may be clipped from below as long as the sum stays below
    zero where it was: its lower extreme is the smallest ``max(term, -other term)``, its upper
    extreme the largest value where the sum is positive. On residual networks that halves the
    range of most branches and shortcuts, and changes no answer on these pictures.

    Args:
        network: The graph.
        weights: Its kernels and biases.
        pictures: uint8 ``(count, height, width, 3)``, may be a memory map.
        progress: Called with the number of pictures done since the last call.
        order: Indices of the pictures wanted; None takes all.

    Raises:
        ModelConversionError: A tensor holds NaN or infinity, and the message names its layer; or an
            operator cannot be simulated.
    """
    check_operations(network)
    terms = discarding_sums(network)
    found: dict[int, Extremes] = {}
    for batch in batches(network, pictures, order):
        for tensor, seen in _extremes_of(network, weights, batch, terms).items():
            found[tensor] = found[tensor].merge(seen) if tensor in found else seen
        if progress is not None:
            progress(len(batch))
    found[network.image] = Extremes(np.zeros(3), np.full(3, 255.0))
    return found


def discarding_sums(network: TfliteNetwork) -> Mapping[int, tuple[int, int]]:
    """Terms of sums with a fused ReLU that nothing else reads: (that term, other term) by sum.

    Only one of the two may be clipped by what the other is; where both are read here alone, it is
    the first, in Keras' ResNets the shortcut.
    """
    found = {}
    for operation in network.operations:
        if operation.kind != "ADD" or operation.activation != "RELU":
            continue
        terms = [tensor for tensor in operation.inputs if tensor not in network.constants]
        alone = [
            tensor
            for tensor in terms
            if len(network.readers[tensor]) == 1 and tensor in network.writers
        ]
        if len(set(terms)) == 2 and alone:
            other = terms[1] if terms[0] == alone[0] else terms[0]
            found[operation.index] = (alone[0], other)
    return found


def _extremes_of(
    network: TfliteNetwork,
    weights: Mapping[int, Weights],
    batch: Tensor,
    terms: Mapping[int, tuple[int, int]],
) -> dict[int, Extremes]:
    waiting = {tensor for pair in terms.values() for tensor in pair}
    kept: dict[int, Tensor] = {}
    found: dict[int, Extremes] = {}

    def observe(operation: Operation, output: Tensor) -> Tensor:
        if operation.output in waiting:
            kept[operation.output] = output
        found[operation.output] = _extremes(output, output, operation)
        if operation.index in terms:
            term, other = terms[operation.index]
            x, y = kept.pop(term), kept[other]
            low = tf.maximum(x, -y)
            high = tf.where(output > 0, x, tf.minimum(x, 0.0))
            found[term] = _extremes(low, high, operation)
        return output

    run(network, weights, batch, observe)
    return found


def _extremes(low: Tensor, high: Tensor, operation: Operation) -> Extremes:
    axes = list(range(len(low.shape) - 1))
    lows = tf.reduce_min(low, axes).numpy().astype(np.float64)
    highs = tf.reduce_max(high, axes).numpy().astype(np.float64)
    if not (np.isfinite(lows).all() and np.isfinite(highs).all()):
        raise not_finite(operation.layer)
    return Extremes(lows, highs)
