"""Layers whose ranges depend on which calibration pictures were drawn."""

from __future__ import annotations

from collections.abc import Mapping

from converters.quantization.activation_extremes import (
    Statistics,
)
from converters.quantization.clipping import instability
from converters.quantization.tensor_range import Range
from converters.quantization.tflite_network import TfliteNetwork

UNSTABLE = 0.25
"""A tensor's range that differs by more than this share between two halves of the pictures."""


def unstable_layers(
    network: TfliteNetwork, first: Statistics, second: Statistics
) -> tuple[str, ...]:
    """Layers whose tensor's range differs much between two halves of the pictures, worst first."""
    spans = {tensor: (first[tensor].range, second[tensor].range) for tensor in first}
    return unstable_ranges(network, spans)


def unstable_ranges(
    network: TfliteNetwork, spans: Mapping[int, tuple[Range, Range]]
) -> tuple[str, ...]:
    """The same of two ranges for every tensor, by its index."""
    found: dict[str, float] = {}
    for tensor, (one, two) in spans.items():
        apart = instability(one, two)
        if tensor in network.writers and apart > UNSTABLE:
            layer = network.writers[tensor].layer
            found[layer] = max(found.get(layer, 0.0), apart)
    return tuple(sorted(found, key=lambda layer: -found[layer]))
