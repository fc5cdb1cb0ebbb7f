"""From a float network and calibration pictures to what is rounded and how: the three levels.

* ``fast``: ranges of the tensors as they are; any network, no simulation.
* ``equalized``: exact equalisation, ranges without what a ReLU discards, corrected biases. Its
  strength is chosen by the simulated logits of calibration pictures held out for that.
* ``distilled``: from there, ranges, weights and biases are trained against the float logits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from converters.errors import ModelConversionError
from converters.quantization.activations import (
    Statistics,
    measure_activations,
    merge_statistics,
)
from converters.quantization.choices import WeightGrid
from converters.quantization.clipping import instability
from converters.quantization.equalization import Equalized, equalize, find_groups
from converters.quantization.forward import (
    PIXELS_PER_BATCH,
    centred_logits,
    check_operations,
    constant_weights,
    forget_pages,
)
from converters.quantization.network import SAME_VALUES, Network, Parameters
from converters.quantization.ranges import Range
from converters.quantization.rounding import widened
from converters.quantization.simulation import Aim, Scheme, correct_biases, measure_aim

STRENGTHS = (0.75, 0.5, 0.25)
"""Tried one after the other until one is worse than that before; 0 and 1 were never best on the
networks measured."""

CLIP = 0.95
"""Ranges are this part of the extremes: the rarest values cost all others resolution. Between 0.9
and 1 it matters little (within 0.3 dB on a trained ResNet50); below, other pictures suffer."""

UNSTABLE = 0.25
"""A tensor's range that differs by more than this share between two halves of the pictures."""

FIXED_RANGES = {"LOGISTIC": Range(0.0, 255 / 256), "TANH": Range(-1.0, 127 / 128)}
"""Of operators whose integer kernels know one step only."""

Progress = Callable[[str, int, int, str], None]
"""Gets what is being done, how much is done, of how much, and the figures so far in words."""


@dataclass(frozen=True)
class Figures:
    """How an equalized or distilled quantization was chosen, for the sidecar and the report."""

    strength: float
    """Of the equalisation, in [0, 1]."""
    held_out_sqnr_db: float
    """Of simulated centred logits, the mean over held-out calibration pictures."""
    held_out: int
    """How many pictures those were."""
    groups: int


@dataclass(frozen=True)
class Calibrated:
    """A network and how it is to be rounded."""

    network: Network
    scheme: Scheme
    reference: Mapping[int, Parameters]
    """The float function in the scheme's channel scales: what the scheme's weights stand for."""
    unstable: tuple[str, ...] = ()
    """Layers whose range differs by more than ``UNSTABLE`` between halves of the pictures."""
    figures: Figures | None = None
    """None at level ``fast``, which has no choice."""
    aim: Aim | None = None
    """What the float network computes for ``sample_pictures``, in the scheme's channel scales; None
    at level ``fast``, which corrects nothing."""

    def corrected(self, pictures: np.ndarray, scheme: Scheme, activation_bits: int = 8) -> Scheme:
        """Another scheme for the same weights, with biases that fit what it rounds.

        Args:
            pictures: Those that this was calibrated with.
            scheme: In the same channel scales.
            activation_bits: See ``converters.quantization.simulation.correct_biases``.
        """
        if self.aim is None:
            return scheme
        sample = sample_pictures(self.network, pictures).pictures
        return correct_biases(
            self.network, scheme, self.aim, sample, activation_bits=activation_bits
        )[0]


def calibrate_equalized(
    network: Network,
    pictures: np.ndarray,
    float_operations: frozenset[int],
    grid: WeightGrid,
    progress: Progress,
) -> Calibrated:
    """Equalise, choose ranges and correct biases.

    Args:
        network: The float graph.
        pictures: uint8 ``(count, height, width, 3)``, may be a memory map; a fourth is held out
            while the strength is chosen, then all are used.
        float_operations: Operators that stay in float, the head included.
        grid: What weights are rounded to.
        progress: See ``Progress``.

    Raises:
        ModelConversionError: An operator is unknown, or activations are not finite.
    """
    check_operations(network)
    quarters = _measure_quarters(network, pictures, progress)
    first, second = (merge_statistics(*pair) for pair in (quarters[:2], quarters[2:]))
    sample = sample_pictures(network, pictures)
    trial = _Trial(network, float_operations, grid, sample, measure_aim(network, sample.pictures))
    figures = trial.choose(merge_statistics(first, quarters[2]), progress)
    scheme, aim = trial.prepare(merge_statistics(first, second), figures.strength)
    return Calibrated(
        network,
        correct_biases(network, scheme, aim, sample.pictures)[0],
        reference=scheme.parameters,
        unstable=unstable_layers(network, first, second),
        figures=figures,
        aim=aim,
    )


def scheme_of(
    network: Network, equalized: Equalized, float_operations: frozenset[int], grid: WeightGrid
) -> Scheme:
    """Weights of an equalised network with ranges that are a part of its extremes."""
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


def share_ranges(network: Network, ranges: Mapping[int, Range]) -> dict[int, Range]:
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


def sqnr_db(expected: np.ndarray, actual: np.ndarray) -> float:
    """Signal to quantization noise of ``actual``, in decibels; NaN where it is not finite."""
    noise = float(np.square(actual.astype(np.float64) - expected).sum())
    signal = float(np.square(expected.astype(np.float64)).sum())
    if not math.isfinite(noise):
        return math.nan
    return 10 * math.log10(signal / noise) if noise else math.inf


def mean_sqnr_db(expected: np.ndarray, actual: np.ndarray) -> float:
    """Mean of the pictures' own decibels: one strange picture shall not decide."""
    pairs = zip(expected, actual, strict=True)
    return float(np.mean([min(sqnr_db(one, other), _EXACT_DB) for one, other in pairs]))


def agreement(expected: np.ndarray, actual: np.ndarray) -> float:
    """Share of pictures with the same best class, in [0, 1]."""
    return float((expected.argmax(axis=1) == actual.argmax(axis=1)).mean())


def unstable_layers(network: Network, first: Statistics, second: Statistics) -> tuple[str, ...]:
    """Layers whose tensor's range differs much between two halves of the pictures, worst first."""
    spans = {tensor: (first[tensor].range, second[tensor].range) for tensor in first}
    return unstable_ranges(network, spans)


def unstable_ranges(network: Network, spans: Mapping[int, tuple[Range, Range]]) -> tuple[str, ...]:
    """The same of two ranges for every tensor, by its index."""
    found: dict[str, float] = {}
    for tensor, (one, two) in spans.items():
        apart = instability(one, two)
        if tensor in network.writers and apart > UNSTABLE:
            layer = network.writers[tensor].layer
            found[layer] = max(found.get(layer, 0.0), apart)
    return tuple(sorted(found, key=lambda layer: -found[layer]))


@dataclass(frozen=True)
class Sample:
    """Pictures for trials and for biases."""

    pictures: np.ndarray
    """uint8, the held-out ones at the end."""
    held_out: int


def sample_pictures(network: Network, pictures: np.ndarray) -> Sample:
    """Draw a bounded number of pictures; a third of them, of the last quarter, is held out."""
    height, width = network.shapes[network.image][1:3]
    most = max(8, 2 * PIXELS_PER_BATCH // (height * width))
    *fit, held = _quarters(len(pictures))
    chosen = np.concatenate(fit)[: 2 * most // 3]
    held = held[: most - len(chosen)]
    found = np.asarray(pictures[np.concatenate([chosen, held])])
    forget_pages(pictures)
    return Sample(found, len(held))


def _quarters(count: int) -> list[np.ndarray]:
    """Indices of four parts of the pictures, drawn by lot, so that classes take turns."""
    order = np.random.default_rng(0).permutation(count)
    order = np.resize(order, max(4, count))  # every quarter needs one
    return [order[start::4] for start in range(4)]


def _measure_quarters(
    network: Network, pictures: np.ndarray, progress: Progress
) -> list[Statistics]:
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress("calibrating", min(done, len(pictures)), len(pictures), "")

    weights = constant_weights(network)
    return [
        measure_activations(network, weights, pictures, advance, order)
        for order in _quarters(len(pictures))
    ]


@dataclass
class _Trial:
    """What stays the same while strengths are tried."""

    network: Network
    float_operations: frozenset[int]
    grid: WeightGrid
    sample: Sample
    aim: Aim

    def __post_init__(self) -> None:
        self.groups = find_groups(self.network)

    def choose(self, fit: Statistics, progress: Progress) -> Figures:
        """Find the best strength."""
        best = Figures(0.0, -math.inf, self.sample.held_out, len(self.groups))
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

    def prepare(self, statistics: Statistics, strength: float) -> tuple[Scheme, Aim]:
        """The scheme before biases are corrected, and what they are to aim at."""
        equalized = equalize(self.network, statistics, strength, self.groups)
        scheme = scheme_of(self.network, equalized, self.float_operations, self.grid)
        return scheme, self.aim.scaled(equalized.output_scales)

    def _measure(self, fit: Statistics, strength: float) -> float:
        """Decibels, the mean over pictures: one strange picture shall not decide."""
        scheme, aim = self.prepare(fit, strength)
        held_out = self.sample.held_out
        _, rounded = correct_biases(self.network, scheme, aim, self.sample.pictures, held_out)
        expected = centred_logits(self.network, aim.logits[-held_out:]).numpy()
        actual = centred_logits(self.network, rounded[-held_out:]).numpy()
        return mean_sqnr_db(expected, actual)


_EXACT_DB = 150.0  # an exact answer's infinity would hide all others'
