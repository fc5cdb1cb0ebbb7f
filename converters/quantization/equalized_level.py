"""Level ``equalized``: equalisation, ranges without values that a ReLU discards, corrected biases.

The strength of the equalisation is the one with the best simulated logits on held-out calibration
pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from converters.errors import ModelConversionError
from converters.quantization.activation_extremes import (
    Statistics,
    measure_activations,
    merge_statistics,
)
from converters.quantization.answer_metrics import mean_sqnr_db
from converters.quantization.bias_correction import (
    FloatOutputs,
    correct_biases,
    measure_float_outputs,
)
from converters.quantization.calibrated_network import (
    CalibratedNetwork,
    EqualizationFigures,
    Progress,
)
from converters.quantization.calibration_sample import Sample, draw_quarters, sample_pictures
from converters.quantization.equalization import Equalized, equalize, find_groups
from converters.quantization.range_stability import unstable_layers
from converters.quantization.rounding import widened
from converters.quantization.scheme import Scheme, share_ranges
from converters.quantization.settings import WeightGrid
from converters.quantization.tensor_range import Range
from converters.quantization.tensorflow_execution import (
    centred_logits,
    check_operations,
    constant_weights,
)
from converters.quantization.tflite_network import TfliteNetwork

STRENGTHS = (0.75, 0.5, 0.25)
"""Strengths in the order tried, until one is worse than the one before. 0 and 1 were never the best
on the networks measured."""

CLIP = 0.95
"""Ranges are this part of the extremes, because the rarest values cost all others resolution.

Values from 0.9 to 1 differ by at most 0.3 dB on a trained ResNet50. With smaller ones the answers
to other pictures get worse."""


def calibrate_equalized(
    network: TfliteNetwork,
    pictures: np.ndarray,
    float_operations: frozenset[int],
    grid: WeightGrid,
    progress: Progress,
) -> CalibratedNetwork:
    """Equalize channels, choose ranges and correct biases.

    Args:
        network: The float graph.
        pictures: uint8 ``(count, height, width, 3)``, may be a memory map. A fourth is held out
            while the strength is chosen. Then all are used.
        float_operations: Operators that stay in float, the head included.
        grid: Integers for the weights.
        progress: See ``Progress``.

    Raises:
        ModelConversionError: An operator is unknown, or activations are not finite.
    """
    check_operations(network)
    quarters = _measure_quarters(network, pictures, progress)
    first, second = (merge_statistics(*pair) for pair in (quarters[:2], quarters[2:]))
    sample = sample_pictures(network, pictures)
    trial = _Trial(
        network, float_operations, grid, sample, measure_float_outputs(network, sample.pictures)
    )
    figures = trial.choose(merge_statistics(first, quarters[2]), progress)
    scheme, float_outputs = trial.prepare(merge_statistics(first, second), figures.strength)
    return CalibratedNetwork(
        network,
        correct_biases(network, scheme, float_outputs, sample.pictures)[0],
        float_parameters=scheme.parameters,
        unstable=unstable_layers(network, first, second),
        figures=figures,
        float_outputs=float_outputs,
    )


def scheme_of(
    network: TfliteNetwork, equalized: Equalized, float_operations: frozenset[int], grid: WeightGrid
) -> Scheme:
    """Return the scheme of an equalized network, with ranges of ``CLIP`` of its extremes."""
    ranges: dict[int, Range] = {}
    kernels = {op.index for op in network.weighted}
    seen_kernel = False
    for operation in network.operations:
        seen_kernel = seen_kernel or operation.index in kernels
        extremes = equalized.statistics.get(operation.output)
        if extremes is None:
            continue
        part = CLIP if seen_kernel else 1.0  # pixels are not rare large values
        span = extremes.range
        ranges[operation.output] = widened(Range(span.low * part, span.high * part))
    ranges[network.image] = Range(0.0, 255.0)
    if network.answer not in ranges:  # a softmax
        ranges[network.answer] = Range(0.0, 1.0)
    return Scheme(equalized.parameters, share_ranges(network, ranges), float_operations, grid)


def _measure_quarters(
    network: TfliteNetwork, pictures: np.ndarray, progress: Progress
) -> list[Statistics]:
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress("calibrating", min(done, len(pictures)), len(pictures), "")

    weights = constant_weights(network)
    return [
        measure_activations(network, weights, pictures, advance, order)
        for order in draw_quarters(len(pictures))
    ]


@dataclass
class _Trial:
    """The data that all strengths share."""

    network: TfliteNetwork
    float_operations: frozenset[int]
    grid: WeightGrid
    sample: Sample
    float_outputs: FloatOutputs

    def __post_init__(self) -> None:
        self.groups = find_groups(self.network)

    def choose(self, fit: Statistics, progress: Progress) -> EqualizationFigures:
        """Return the figures of the best strength."""
        best = EqualizationFigures(0.0, -math.inf, self.sample.held_out, len(self.groups))
        for done, strength in enumerate(STRENGTHS, start=1):
            measured = self._measure(fit, strength)
            is_better = measured > best.held_out_sqnr_db
            if is_better:
                best = replace(best, strength=strength, held_out_sqnr_db=measured)
            words = f"strength {strength}: {measured:.1f} dB, best {best.held_out_sqnr_db:.1f} dB"
            progress("choosing", done if is_better else len(STRENGTHS), len(STRENGTHS), words)
            if not is_better and math.isfinite(best.held_out_sqnr_db):
                break
        if not math.isfinite(best.held_out_sqnr_db):
            raise ModelConversionError(
                "quantization: no simulated answer is finite; the model's weights or the "
                "--preprocessing do not fit; check the float artifacts first"
            )
        return best

    def prepare(self, statistics: Statistics, strength: float) -> tuple[Scheme, FloatOutputs]:
        """Return the scheme before bias correction, and the float values to correct biases to."""
        equalized = equalize(self.network, statistics, strength, self.groups)
        scheme = scheme_of(self.network, equalized, self.float_operations, self.grid)
        return scheme, self.float_outputs.scaled(equalized.output_scales)

    def _measure(self, fit: Statistics, strength: float) -> float:
        """Return the mean SQNR of the held-out pictures, in decibels."""
        scheme, float_outputs = self.prepare(fit, strength)
        held_out = self.sample.held_out
        _, rounded = correct_biases(
            self.network, scheme, float_outputs, self.sample.pictures, held_out
        )
        expected = centred_logits(self.network, float_outputs.logits[-held_out:]).numpy()
        actual = centred_logits(self.network, rounded[-held_out:]).numpy()
        return mean_sqnr_db(expected, actual)
