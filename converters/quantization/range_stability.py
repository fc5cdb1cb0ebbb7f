"""Layers whose ranges differ between two halves of the calibration pictures."""

from __future__ import annotations

from collections.abc import Mapping

from converters.quantization.activation_extremes import (
    Statistics,
)
from converters.quantization.tensor_range import Range
from converters.quantization.tflite_network import TfliteNetwork

UNSTABLE = 0.25
"""A range is unstable if it differs by more than this share between two halves of the pictures."""


def unstable_layers(
    network: TfliteNetwork, first: Statistics, second: Statistics
) -> tuple[str, ...]:
    """Return the layers with unstable ranges, worst first, from the extremes of two halves."""
    spans = {tensor: (first[tensor].range, second[tensor].range) for tensor in first}
    return unstable_ranges(network, spans)


def unstable_ranges(
    network: TfliteNetwork, spans: Mapping[int, tuple[Range, Range]]
) -> tuple[str, ...]:
    """Return the same from two ranges for every tensor, by the index of the tensor."""
    found: dict[str, float] = {}
    for tensor, (one, two) in spans.items():
        apart = instability(one, two)
        if tensor in network.writers and apart > UNSTABLE:
            layer = network.writers[tensor].layer
            found[layer] = max(found.get(layer, 0.0), apart)
    return tuple(sorted(found, key=lambda layer: -found[layer]))


def wider_by_instability(
    network: TfliteNetwork, ranges: Mapping[int, Range], first: Statistics, second: Statistics
) -> dict[int, Range]:
    """Return the ranges with a margin where the extremes of two halves differ.

    What differs between the halves differs between these pictures and others, which would clip.

    Args:
        network: The graph.
        ranges: By index of the tensor.
        first: Extremes of one half of the pictures.
        second: Extremes of the other half.
    """
    wider = dict(ranges)
    for tensor in ranges.keys() & first.keys() - {network.image, network.answer}:
        margin = 1 + instability(first[tensor].range, second[tensor].range)
        wider[tensor] = Range(ranges[tensor].low * margin, ranges[tensor].high * margin)
    return wider


def instability(first: Range, second: Range) -> float:
    """Return the difference of the ranges of two halves of the pictures.

    Both are extended to hold zero, as a quantizer does. A large difference means that more pictures
    would change the range.

    Returns:
        The larger difference of the low or the high ends, as a share of the span of both, in
        [0, 1]; 0 if the ranges are equal.
    """
    one, other = first.union(Range(0.0, 0.0)), second.union(Range(0.0, 0.0))
    both = one.union(other)
    if both.low == both.high:
        return 0.0
    apart = max(abs(one.low - other.low), abs(one.high - other.high))
    return apart / (both.high - both.low)
