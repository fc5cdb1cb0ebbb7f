"""Smallest and largest values of every channel of every tensor on calibration pictures.

They take the same memory for any number of pictures and do not depend on the order. The extremes of
two sets of pictures can be merged, so several machines can each measure a part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from converters.quantization.picture_pass import (
    Advance,
    Arrays,
    Measure,
    Spread,
    all_of,
    ignore,
    run_here,
)
from converters.quantization.tensor_range import Range, not_finite
from converters.quantization.tensorflow_execution import (
    Weights,
    check_operations,
    pictures_per_batch,
    run,
)
from converters.quantization.tensorflow_operators import Tensor
from converters.quantization.tflite_network import Operation, TfliteNetwork


@dataclass(frozen=True)
class Extremes:
    """Smallest and largest value of every channel of one tensor, float64 ``(channels,)``."""

    low: np.ndarray
    high: np.ndarray

    def merge(self, other: Extremes) -> Extremes:
        """Return the extremes over both sets of pictures."""
        return Extremes(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    @property
    def range(self) -> Range:
        """Range of the whole tensor with zero, which every quantized range must hold."""
        return Range(min(0.0, float(self.low.min())), max(0.0, float(self.high.max())))

    def scaled(self, factor: np.ndarray) -> Extremes:
        """Return the extremes after every channel is multiplied by a positive factor."""
        return Extremes(self.low * factor, self.high * factor)


Statistics = Mapping[int, Extremes]
"""Extremes of every computed tensor, by the index of the tensor."""


def merge_statistics(first: Statistics, second: Statistics) -> Statistics:
    """Merge the extremes of two sets of pictures."""
    return {tensor: first[tensor].merge(second[tensor]) for tensor in first}


def measure_activations(
    network: TfliteNetwork,
    weights: Mapping[int, Weights],
    pictures: np.ndarray,
    parts: Sequence[np.ndarray] | None = None,
    spread: Spread = run_here,
    progress: Advance = ignore,
) -> tuple[Statistics, ...]:
    """Measure the extremes of every tensor that has to be represented.

    Values that a ReLU discards need no representation. If a sum goes through a ReLU and only the
    sum reads one of its terms, that term may be clipped from below as long as negative sums stay
    negative. Its lower extreme is then the smallest ``max(term, -other term)``, its upper extreme
    the largest value where the sum is positive. On residual networks this halves the range of most
    branches and shortcuts, and it changes no answer on these pictures.

    Args:
        network: The graph.
        weights: Its kernels and biases.
        pictures: uint8 ``(count, height, width, 3)``, may be a memory map.
        parts: Indices of the pictures of each part; None makes all pictures one part.
        spread: Runs the pass.
        progress: Called with the number of pictures done since the last call.

    Returns:
        The extremes of every part.

    Raises:
        ModelConversionError: A tensor holds NaN or infinity, and the message names its layer; or an
            operator cannot be simulated.
    """
    check_operations(network)
    wanted = all_of(pictures) if parts is None else parts
    found = spread(ExtremesPass(network, weights), pictures, wanted, progress)
    image = {network.image: Extremes(np.zeros(3), np.full(3, 255.0))}
    return tuple(_unpack(arrays) | image for arrays in found)


@dataclass(frozen=True)
class ExtremesPass:
    """Extremes of the channels of all tensors.

    The statistics are the tensors, their numbers of channels, and the lower and upper extremes of
    all channels one after the other.
    """

    network: TfliteNetwork
    weights: Mapping[int, Weights]
    title: str = "extremes"

    @property
    def batch(self) -> int:
        """See ``PicturePass``."""
        return pictures_per_batch(self.network)

    def open(self) -> Measure:
        """See ``PicturePass``."""
        terms = discarding_sums(self.network)

        def measure(pictures: np.ndarray) -> Arrays:
            batch = tf.constant(pictures.astype(np.float32))
            return _pack(_extremes_of(self.network, self.weights, batch, terms))

        return measure

    def merge(self, first: Arrays, second: Arrays) -> Arrays:
        """See ``PicturePass``."""
        tensors, channels, low, high = first
        return tensors, channels, np.minimum(low, second[2]), np.maximum(high, second[3])


def _pack(found: Statistics) -> Arrays:
    lows, highs = [e.low for e in found.values()], [e.high for e in found.values()]
    channels = np.array([len(low) for low in lows])
    # No -0: which of the zeros is the smallest depends on the order.
    low, high = np.concatenate(lows) + 0.0, np.concatenate(highs) + 0.0
    return np.array(list(found)), channels, low, high


def _unpack(arrays: Arrays) -> dict[int, Extremes]:
    tensors, channels, low, high = arrays
    ends = np.cumsum(channels)[:-1]
    both = zip(np.split(low, ends), np.split(high, ends), strict=True)
    return {
        tensor: Extremes(*extremes) for tensor, extremes in zip(tensors.tolist(), both, strict=True)
    }


def discarding_sums(network: TfliteNetwork) -> Mapping[int, tuple[int, int]]:
    """Return sums with a fused ReLU and a term that only the sum reads.

    Only one of two terms may be clipped by the value of the other. If only the sum reads both, the
    first is clipped, which is the shortcut in Keras' ResNets.

    Returns:
        The clipped term and the other term, by index of the sum's operator.
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
    if len(low.shape) == 1:  # a number a picture
        low, high = low[:, tf.newaxis], high[:, tf.newaxis]
    axes = list(range(len(low.shape) - 1))
    lows = tf.reduce_min(low, axes).numpy().astype(np.float64)
    highs = tf.reduce_max(high, axes).numpy().astype(np.float64)
    if not (np.isfinite(lows).all() and np.isfinite(highs).all()):
        raise not_finite(operation.layer)
    return Extremes(lows, highs)
