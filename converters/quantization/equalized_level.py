"""Level ``equalized``: equalisation, ranges without values that a ReLU discards, corrected biases.

Every network gets the best of some candidates: those with the best simulated logits on held-out
calibration pictures. What level ``fast`` does is one of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from converters.errors import ModelConversionError
from converters.quantization.activation_extremes import (
    Statistics,
    measure_activations,
    merge_statistics,
)
from converters.quantization.bias_correction import (
    FloatOutputs,
    correct_biases,
    measure_float_outputs,
)
from converters.quantization.calibrated_network import (
    CalibratedNetwork,
    EqualizationFigures,
    FloatFallback,
    Progress,
    equalisation_words,
)
from converters.quantization.calibration_sample import Sample, draw_quarters, sample_pictures
from converters.quantization.equalization import equalize, find_channels, strength_scales
from converters.quantization.exam import Exam
from converters.quantization.float_fallback import (
    CLEAR_DB,
    find_fallback,
    held_out_pictures,
    with_float,
)
from converters.quantization.head_rounding import head_features, is_too_coarse
from converters.quantization.least_noise import Gains, least_noise_scales, measure_gains
from converters.quantization.picture_pass import Spread
from converters.quantization.range_stability import unstable_layers, wider_by_instability
from converters.quantization.rounding import widened
from converters.quantization.sampled_ranges import chosen_ranges, least_error_ranges
from converters.quantization.scheme import Scheme, share_ranges, wide_ranges
from converters.quantization.settings import WeightGrid
from converters.quantization.tensor_range import Range
from converters.quantization.tensorflow_execution import (
    centred_logits,
    check_operations,
    constant_weights,
)
from converters.quantization.tflite_network import Parameters, TfliteNetwork

STRENGTHS = (0.75, 0.5, 0.25)
"""Strengths in the order tried, until one is worse than the best before. 0 and 1 were never the
best on the networks measured."""

VECTOR_MARGIN = 1.2
"""Ranges of tensors with one position are this multiple of their extremes. A picture gives few
values of them, so other pictures soon hold larger ones (a small CNN: 43 dB, without it 35)."""


def calibrate_equalized(
    network: TfliteNetwork,
    pictures: np.ndarray,
    float_operations: frozenset[int],
    grid: WeightGrid,
    spread: Spread,
    progress: Progress,
) -> CalibratedNetwork:
    """Equalize channels, choose ranges and correct biases.

    Args:
        network: The float graph.
        pictures: uint8 ``(count, height, width, 3)``, may be a memory map. A fourth is held out
            while the strength is chosen. Then all are used.
        float_operations: Operators that stay in float, the head included.
        grid: Integers for the weights.
        spread: Runs the passes over the pictures.
        progress: See ``Progress``.

    Raises:
        ModelConversionError: An operator is unknown, or activations are not finite.
    """
    check_operations(network)
    quarters = _measure_quarters(network, pictures, spread, progress)
    first, second = (merge_statistics(*pair) for pair in (quarters[:2], quarters[2:]))
    sample = sample_pictures(network, pictures)
    float_outputs = measure_float_outputs(network, sample.pictures, spread=spread)
    logits = measure_float_outputs(network, sample.held_out, spread=spread).logits
    exam = Exam(network, sample.held_out, centred_logits(network, logits).numpy())
    head = network.dense_head
    features = None if head is None else head_features(network, head, pictures, spread)
    halves = (first, second)
    gains = measure_gains(network, sample.fitted)
    trial = _Trial(
        *(network, float_operations, grid, sample, exam, float_outputs, halves, gains, features),
        spread,
    )
    fit = merge_statistics(first, quarters[2])
    chosen = trial.choose(fit, progress)
    candidate, figures = chosen.candidate, chosen.figures
    fallback = None
    if not chosen.sqnr_db >= CLEAR_DB:
        fallback = trial.fall_back(fit, candidate, progress)
    prepared = trial.prepare(merge_statistics(first, second), candidate)
    scheme = prepared.scheme
    if fallback is not None:
        scheme = with_float(scheme, fallback.operations, fallback.has_float_weights)
    if candidate.corrects:
        scheme = correct_biases(network, scheme, prepared.float_outputs, sample.pictures)
    return CalibratedNetwork(
        network,
        scheme,
        float_parameters=prepared.scheme.parameters,
        unstable=unstable_layers(network, first, second),
        figures=figures,
        float_outputs=prepared.float_outputs if candidate.corrects else None,
        wide_ranges=prepared.wide_ranges,
        fallback=fallback,
    )


def extreme_ranges(network: TfliteNetwork, statistics: Statistics) -> dict[int, Range]:
    """Return the extremes of every tensor as its range."""
    ranges = {tensor: widened(extremes.range) for tensor, extremes in statistics.items()}
    ranges[network.image] = Range(0.0, 255.0)
    if network.logits != network.answer or network.answer not in ranges:  # a softmax
        ranges[network.answer] = Range(0.0, 1.0)
    return ranges


def _measure_quarters(
    network: TfliteNetwork, pictures: np.ndarray, spread: Spread, progress: Progress
) -> tuple[Statistics, ...]:
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress("calibrating", min(done, len(pictures)), len(pictures), "")

    weights = constant_weights(network)
    quarters = draw_quarters(len(pictures))
    return measure_activations(network, weights, pictures, quarters, spread, advance)


@dataclass(frozen=True)
class Candidate:
    """A way to choose channel scales, ranges and biases."""

    strength: float | None
    """Strength of the equalisation; with 0 ranges are those of level ``fast``. None for scales with
    the least noise."""
    least_error: bool = False
    """True for ranges with the least squared error, False for the extremes."""
    corrects: bool = True
    """True to correct biases."""
    has_margins: bool = False
    """True for ranges that are wider by their difference between two halves of the pictures."""

    def __str__(self) -> str:
        biases = "" if self.corrects else ", biases as they are"
        return f"{equalisation_words(self.strength)}, {self.ranges}{biases}"

    @property
    def ranges(self) -> str:
        """The kind of its ranges, in words."""
        kind = "least error" if self.least_error else "extremes"
        return f"{kind} with margins" if self.has_margins else kind


@dataclass(frozen=True)
class Prepared:
    """A scheme before bias correction."""

    scheme: Scheme
    float_outputs: FloatOutputs
    """In the scheme's channel scales."""
    wide_ranges: Mapping[int, Range]
    """Ranges for 16 bits."""


@dataclass(frozen=True)
class Measured:
    """A candidate with its figures on the held-out pictures."""

    candidate: Candidate
    sqnr_db: float
    """Mean of the pictures' own SQNR."""
    figures: EqualizationFigures

    @property
    def words(self) -> str:
        """The figure in words."""
        return f"best {self.sqnr_db:.1f} dB"


@dataclass
class _Trial:
    """The data that all strengths share."""

    network: TfliteNetwork
    float_operations: frozenset[int]
    grid: WeightGrid
    sample: Sample
    exam: Exam
    float_outputs: FloatOutputs
    halves: tuple[Statistics, Statistics]
    """Extremes of two halves of the pictures."""
    gains: Gains | None
    """None where derivatives are not known."""
    head_features: np.ndarray | None
    """None where there is no dense head."""
    spread: Spread

    def __post_init__(self) -> None:
        self.channels = find_channels(self.network)
        self._least_noise: tuple[Statistics, dict[int, np.ndarray]] | None = None
        """The last ones and what they are of: candidates share them."""

    def choose(self, fit: Statistics, progress: Progress) -> Measured:
        """Return the best candidate on the held-out pictures.

        The last ones are the network as level ``fast`` has it, the best one without corrected
        biases, and the best one with margins. So the result is not worse than these on the held-out
        pictures.
        """
        best: Measured | None = None
        total = len(STRENGTHS) + 5

        def attempt(done: int, candidate: Candidate) -> bool:
            nonlocal best
            measured = self._measure(fit, candidate)
            is_better = best is None or not measured.sqnr_db <= best.sqnr_db
            if is_better and not math.isnan(measured.sqnr_db):
                best = measured
            words = f"{candidate}: {measured.sqnr_db:.1f} dB"
            progress("choosing", done, total, words if best is None else f"{words}, {best.words}")
            return is_better

        if self.gains is not None:
            attempt(1, Candidate(None))
        for done, strength in enumerate(STRENGTHS, start=2):
            if not attempt(done, Candidate(strength)) and best is not None:
                break
        so_far = Candidate(STRENGTHS[0]) if best is None else best.candidate
        attempt(total - 3, replace(so_far, least_error=True))
        attempt(total - 2, Candidate(0.0, corrects=False))
        if best is not None and best.candidate.corrects:
            attempt(total - 1, replace(best.candidate, corrects=False))
        if best is not None:
            attempt(total, replace(best.candidate, has_margins=True))
        if best is None:  # NaN never becomes the best
            raise ModelConversionError(
                "quantization: no simulated answer is finite; the model's weights or the "
                "--preprocessing do not fit; check the float artifacts first"
            )
        return best

    def prepare(self, statistics: Statistics, candidate: Candidate) -> Prepared:
        """Return the scheme before bias correction, and the float values to correct biases to."""
        network = self.network
        equalized = equalize(network, statistics, self._scales(statistics, candidate.strength))
        ranges = extremes = extreme_ranges(network, equalized.statistics)
        if candidate.strength != 0:  # all but what level fast does
            weights = constant_weights(network, equalized.parameters)
            found = least_error_ranges(network, weights, extremes, self.sample.fitted, self.spread)
            ranges = chosen_ranges(network, extremes, found, candidate.least_error, VECTOR_MARGIN)
        if candidate.has_margins:
            ranges = wider_by_instability(network, ranges, *self.halves)
        scheme = Scheme(
            equalized.parameters,
            share_ranges(network, ranges),
            self.float_operations,
            self.grid,
            has_float_head=self._has_float_head(equalized.parameters),
        )
        float_outputs = self.float_outputs.scaled(equalized.output_scales)
        return Prepared(scheme, float_outputs, wide_ranges(network, extremes))

    def _scales(self, statistics: Statistics, strength: float | None) -> dict[int, np.ndarray]:
        if strength is not None:
            return strength_scales(self.channels, statistics, strength)
        if self.gains is None:
            raise ValueError("no derivatives are known, so no scales with the least noise")
        if self._least_noise is None or self._least_noise[0] is not statistics:
            scales = least_noise_scales(
                self.channels, statistics, self.gains, self.float_operations
            )
            self._least_noise = statistics, scales
        return self._least_noise[1]

    def _has_float_head(self, scaled: Mapping[int, Parameters]) -> bool:
        head = self.network.dense_head
        if head is None or self.head_features is None:
            return False
        kernel = self.network.parameters[head.index].kernel
        return is_too_coarse(self.head_features, kernel, scaled[head.index].kernel)

    def fall_back(
        self, fit: Statistics, candidate: Candidate, progress: Progress
    ) -> FloatFallback | None:
        """Return the layers that have to be in float, judged on the quarter that is held out."""
        prepared = self.prepare(fit, candidate)
        found = held_out_pictures(self.network, self.sample.held_out)

        def correct(scheme: Scheme) -> Scheme:
            if not candidate.corrects:
                return scheme
            return correct_biases(self.network, scheme, prepared.float_outputs, self.sample.fitted)

        return find_fallback(self.network, prepared.scheme, correct, found, progress)

    def _measure(self, fit: Statistics, candidate: Candidate) -> Measured:
        """Return the figures of a candidate on the held-out pictures."""
        prepared = self.prepare(fit, candidate)
        scheme = prepared.scheme
        if candidate.corrects:
            scheme = correct_biases(
                self.network, scheme, prepared.float_outputs, self.sample.fitted
            )
        measured = self.exam.sqnr_db(scheme)
        figures = EqualizationFigures(
            candidate.strength,
            measured,
            len(self.exam.pictures),
            len(self.channels.groups),
            candidate.ranges,
            candidate.corrects,
        )
        return Measured(candidate, measured, figures)
