"""Ranges with the smallest squared error, from the values of some pictures.

Extremes are known of all calibration pictures, the distribution of the values of a sample only. So
a range is a part of the extremes, and the sample says which part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from converters.quantization.picture_pass import (
    Arrays,
    Measure,
    Spread,
    all_of,
    ignore,
    run_here,
)
from converters.quantization.responses import Response, response_of
from converters.quantization.rounding import widened
from converters.quantization.tensor_range import Range
from converters.quantization.tensorflow_execution import Weights, pictures_per_batch, run
from converters.quantization.tensorflow_operators import Tensor
from converters.quantization.tflite_network import Operation, TfliteNetwork

BINS = 2048
STEPS = 255
MOST_VALUES = 200_000
"""Values of a tensor and a batch that are counted, evenly spread: more change nothing."""
PARTS = 2.0 ** (-np.arange(0, 49) / 16)
"""Parts of an end that are tried: 4 % apart, down to an eighth."""


def least_error_ranges(
    network: TfliteNetwork,
    weights: Mapping[int, Weights],
    extremes: Mapping[int, Range],
    pictures: np.ndarray,
    spread: Spread = run_here,
) -> dict[int, Range]:
    """Return the range of every tensor with the smallest mean squared error of its 8-bit values.

    Args:
        network: The graph.
        weights: Kernels and biases of the float network, whose values are measured.
        extremes: The range of every tensor, beyond which no range goes. Values outside are clipped
            by every choice and do not count.
        pictures: uint8 ``(count, height, width, 3)``.
        spread: Runs the pass.
    """
    work = CountsPass(network, weights, extremes)
    ((rows,),) = spread(work, pictures, all_of(pictures), ignore)
    counts = dict(zip(extremes, rows, strict=True))
    return {
        tensor: least_error(counts[tensor], span, response_of(network, tensor))
        if counts[tensor].any()
        else span
        for tensor, span in extremes.items()
    }


@dataclass(frozen=True)
class CountsPass:
    """Histograms of all tensors.

    The statistics are int64 ``(tensors, BINS)``, in the order of ``extremes``.
    """

    network: TfliteNetwork
    weights: Mapping[int, Weights]
    extremes: Mapping[int, Range]
    """The range of each tensor's bins."""
    title: str = "histograms"

    @property
    def batch(self) -> int:
        """See ``PicturePass``."""
        return pictures_per_batch(self.network)

    def open(self) -> Measure:
        """See ``PicturePass``."""
        rows = {tensor: row for row, tensor in enumerate(self.extremes)}

        def measure(pictures: np.ndarray) -> Arrays:
            counts = np.zeros((len(rows), BINS), np.int64)

            def observe(operation: Operation, output: Tensor) -> Tensor:
                tensor = operation.output
                if tensor in rows:
                    counts[rows[tensor]] += _counts(output.numpy(), self.extremes[tensor])
                return output

            run(self.network, self.weights, tf.constant(pictures.astype(np.float32)), observe)
            return (counts,)

        return measure

    def merge(self, first: Arrays, second: Arrays) -> Arrays:
        """See ``PicturePass``."""
        return (first[0] + second[0],)


def chosen_ranges(
    network: TfliteNetwork,
    extremes: Mapping[int, Range],
    found: Mapping[int, Range],
    least_error: bool,
    vector_margin: float,
) -> dict[int, Range]:
    """Return the range of every tensor out of its extremes and of the range of least error.

    Tensors with one position keep their extremes with a margin. In all others the low end leaves
    out what the activation behind levels, also where the extremes are taken otherwise.
    """
    chosen = dict(found) if least_error else dict(extremes)
    for tensor, span in extremes.items():
        is_vector = math.prod(network.shapes[tensor][1:-1]) == 1
        low = found[tensor].low if response_of(network, tensor) is not None else span.low
        if tensor in (network.image, network.answer):
            chosen[tensor] = span
        elif is_vector:
            chosen[tensor] = Range(low * vector_margin, span.high * vector_margin)
        elif not least_error:
            chosen[tensor] = Range(low, span.high)
    return chosen


def _counts(values: np.ndarray, span: Range) -> np.ndarray:
    """Count the values in equal bins of a range. Zeros are exact in any range and do not count."""
    values = values.reshape(-1)[:: max(1, values.size // MOST_VALUES)]
    width = (span.high - span.low) / BINS
    places = np.clip((values[values != 0] - span.low) / width, 0, BINS - 1).astype(np.int32)
    return np.bincount(places, minlength=BINS)


def least_error(counts: np.ndarray, span: Range, response: Response | None = None) -> Range:
    """Return the part of a range with the smallest squared error.

    Both ends are moved together, then each alone, then again.

    Args:
        counts: Values other than zero in equal bins of the range.
        span: The range. It holds zero.
        response: The error is that of this function's values; None for the values themselves.
    """
    edges = np.linspace(span.low, span.high, BINS + 1)
    values = (edges[1:] + edges[:-1]) / 2
    respond = (lambda x: x) if response is None else response
    passed = np.square(np.gradient(respond(values), values))
    low = high = 1.0
    for move_low, move_high in 2 * ((True, True), (True, False), (False, True)):
        lows = (low * PARTS if move_low else np.full_like(PARTS, low))[:, np.newaxis]
        highs = (high * PARTS if move_high else np.full_like(PARTS, high))[:, np.newaxis]
        clipped = np.clip(values, span.low * lows, span.high * highs)
        steps = (span.high * highs - span.low * lows) / STEPS
        rounding = np.where(clipped == values, passed * np.square(steps) / 12, 0)
        errors = (np.square(respond(clipped) - respond(values)) + rounding) @ counts
        best = int(np.argmin(errors))
        low, high = float(lows[best, 0]), float(highs[best, 0])
    return widened(Range(span.low * low, span.high * high))
