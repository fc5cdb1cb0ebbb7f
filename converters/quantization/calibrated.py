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

from converters.errors import ConversionError
from converters.quantization.activations import (
    Statistics,
    measure_activations,
    merge_statistics,
)
from converters.quantization.equalization import Equalized, equalize, find_groups
from converters.quantization.forward import (
    PIXELS_PER_BATCH,
    centred_logits,
    check_operations,
    constant_weights,
)
from converters.quantization.network import SAME_VALUES, Network, Parameters
from converters.quantization.ranges import Range
from converters.quantization.rounding import widened
from converters.quantization.simulation import Scheme, correct_biases

STRENGTHS = (0.25, 0.5, 0.75)
"""Tried one after the other; 0 and 1 were never best on the networks measured."""

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
    unstable: tuple[str, ...]
    """Layers whose range differs by more than ``UNSTABLE`` between halves of the pictures."""


@dataclass(frozen=True)
class Calibrated:
    """A network and how it is to be rounded."""

    network: Network
    scheme: Scheme
    reference: Mapping[int, Parameters]
    """The float function in the scheme's channel scales: what the scheme's weights stand for."""
    figures: Figures | None


def calibrate_equalized(
    network: Network,
    pictures: np.ndarray,
    float_operations: frozenset[int],
    progress: Progress,
) -> Calibrated:
    """Equalise, choose ranges and correct biases.

    Args:
        network: The float graph.
        pictures: uint8 ``(count, height, width, 3)``; a fourth is held out while the
            strength is chosen, then all are used.
        float_operations: Operators that stay in float, the head included.
        progress: See ``Progress``.

    Raises:
        ConversionError: An operator is unknown, or activations are not finite.
    """
    check_operations(network)
    pictures = pictures[np.random.default_rng(0).permutation(len(pictures))]  # classes take turns
    if len(pictures) < 4:  # every quarter needs one
        pictures = np.resize(pictures, (4, *pictures.shape[1:]))
    quarters = _measure_quarters(network, pictures, progress)
    fit = merge_statistics(merge_statistics(quarters[0], quarters[1]), quarters[2])
    sample, held_out = sample_pictures(network, pictures)
    trial = _Trial(network, float_operations, sample, held_out)
    best = trial.choose(fit, progress)
    whole = merge_statistics(fit, quarters[3])
    equalized = equalize(network, whole, best.strength, trial.groups)
    scheme = scheme_of(network, equalized, float_operations)
    corrected, _, _ = correct_biases(network, scheme, scheme.parameters, sample)
    halves = (
        merge_statistics(quarters[0], quarters[1]),
        merge_statistics(quarters[2], quarters[3]),
    )
    figures = replace(best, unstable=unstable_layers(network, *halves))
    return Calibrated(network, corrected, scheme.parameters, figures)


def scheme_of(network: Network, equalized: Equalized, float_operations: frozenset[int]) -> Scheme:
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
    return Scheme(equalized.parameters, share_ranges(network, ranges), float_operations)


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
    found: dict[str, float] = {}
    for tensor, extremes in first.items():
        one, two = extremes.range, second[tensor].range
        span = max(one.high, two.high) - min(one.low, two.low)
        difference = max(abs(one.high - two.high), abs(one.low - two.low))
        if tensor in network.writers and span > 0 and difference / span > UNSTABLE:
            layer = network.writers[tensor].layer
            found[layer] = max(found.get(layer, 0.0), difference / span)
    return tuple(sorted(found, key=lambda layer: -found[layer]))


@dataclass
class _Trial:
    """What stays the same while strengths and clips are tried."""

    network: Network
    float_operations: frozenset[int]
    sample: np.ndarray
    held_out: int

    def __post_init__(self) -> None:
        self.groups = find_groups(self.network)

    def choose(self, fit: Statistics, progress: Progress) -> Figures:
        """Try every strength."""
        best = Figures(0.0, -math.inf, self.held_out, len(self.groups), ())
        for done, strength in enumerate(STRENGTHS, start=1):
            measured = self._measure(fit, strength)
            if measured > best.held_out_sqnr_db:
                best = replace(best, strength=strength, held_out_sqnr_db=measured)
            words = f"strength {strength}: {measured:.1f} dB, best {best.held_out_sqnr_db:.1f} dB"
            progress("choosing", done, len(STRENGTHS), words)
        if not math.isfinite(best.held_out_sqnr_db):
            raise ConversionError(
                "quantization: no simulated answer is finite; the model's weights or the "
                "--preprocessing do not fit; check the float artifacts first"
            )
        return best

    def _measure(self, fit: Statistics, strength: float) -> float:
        """Decibels, the mean over pictures: one strange picture shall not decide."""
        equalized = equalize(self.network, fit, strength, self.groups)
        scheme = scheme_of(self.network, equalized, self.float_operations)
        _, exact, rounded = correct_biases(
            self.network, scheme, scheme.parameters, self.sample, self.held_out
        )
        held = slice(len(self.sample) - self.held_out, None)
        expected = centred_logits(self.network, exact[held]).numpy()
        actual = centred_logits(self.network, rounded[held]).numpy()
        return mean_sqnr_db(expected, actual)


_EXACT_DB = 150.0  # an exact answer's infinity would hide all others'


def _measure_quarters(
    network: Network, pictures: np.ndarray, progress: Progress
) -> list[Statistics]:
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress("calibrating", done, len(pictures), "")

    weights = constant_weights(network)
    return [
        measure_activations(network, weights, pictures[start::4], advance) for start in range(4)
    ]


def sample_pictures(network: Network, pictures: np.ndarray) -> tuple[np.ndarray, int]:
    """Pictures for trials: a bounded number, those of the last quarter at the end."""
    height, width = network.shapes[network.image][1:3]
    most = max(8, 2 * PIXELS_PER_BATCH // (height * width))
    fit = np.concatenate([pictures[start::4] for start in range(3)])[: 2 * most // 3]
    held = pictures[3::4][: most - len(fit)]
    return np.concatenate([fit, held]), len(held)
