"""Level ``fast``: every tensor keeps its range. It needs no simulation, so any network will do."""

from __future__ import annotations

from functools import reduce

import numpy as np

from converters.quantization.calibrated_network import (
    CalibratedNetwork,
    Progress,
)
from converters.quantization.measured_ranges import MeasuredRanges, measure_ranges
from converters.quantization.picture_pass import Spread
from converters.quantization.range_stability import unstable_ranges
from converters.quantization.rounding import widened
from converters.quantization.scheme import Scheme, share_ranges, wide_ranges
from converters.quantization.settings import QuantizationSettings
from converters.quantization.tflite_network import TfliteNetwork


def calibrate_fast(
    float32: bytes,
    network: TfliteNetwork,
    pictures: np.ndarray,
    kept: frozenset[int],
    method: QuantizationSettings,
    threads: int,
    spread: Spread,
    progress: Progress,
) -> CalibratedNetwork:
    """Take every tensor's range over the calibration pictures; leave weights and biases alone."""

    def advance(done: int, total: int) -> None:
        progress("calibrating", done, total, "")

    halves = measure_ranges(
        float32,
        pictures,
        parts=2,
        threads=threads,
        spread=spread,
        progress=advance,
    )
    tensors = {name: index for index, name in enumerate(network.names)}
    ranges = {
        tensors[name]: widened(span)
        for name, span in reduce(MeasuredRanges.merge, halves).ranges().items()
    }
    first, second = halves[0].ranges(), halves[-1].ranges()
    spans = {tensors[name]: (first[name], second[name]) for name in first}
    return CalibratedNetwork(
        network,
        Scheme(network.parameters, share_ranges(network, ranges), kept, method.grid),
        float_parameters=network.parameters,
        unstable=unstable_ranges(network, spans),
        wide_ranges=wide_ranges(network, ranges),
    )
