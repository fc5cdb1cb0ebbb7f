"""Layers that go to float by themselves, where 8 bits do not hold the answers.

Some networks have layers that 8 bits cannot hold: their channels differ too much, or rare pictures
lie far outside of the ranges of all others. Where the simulated answers for held-out pictures fall
below a floor, the layers with the most noise go to float, as few of them as lift the answers above
it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial

import numpy as np

from converters.quantization.answer_metrics import agreement, mean_sqnr_db
from converters.quantization.bias_correction import measure_float_outputs
from converters.quantization.calibrated_network import FloatFallback, HeldOutAnswers, Progress
from converters.quantization.findings import LayerSensitivity
from converters.quantization.float_layers import FloatLayers
from converters.quantization.integer_simulation import simulate
from converters.quantization.layer_sensitivity import measure_sensitivity
from converters.quantization.scheme import Scheme
from converters.quantization.tensorflow_execution import PIXELS_PER_BATCH, centred_logits
from converters.quantization.tflite_network import TfliteNetwork

FLOOR_DB = 20.0
"""Answers of a lower SQNR fall back: the noise is a tenth of the logits' spread. It is the mean of
the pictures' own: one picture far outside of all ranges would put most layers into float."""

FLOOR_AGREEMENT = 0.95
"""Answers that agree with the float network's on a smaller share of pictures fall back. Accuracy
falls by less, since a part of the changed answers was wrong before."""

LEAST_GAIN_DB = 3.0
"""Layers whose float does not lift the answers above the floors have to lift them by this much, or
they are not worth their time."""

MORE_BYTES = 3
"""Bytes that a weight takes more in float32 than in 8 bits."""

CLEAR_DB = 25.0
"""Answers of a higher mean SQNR need no look at the agreement."""

MOST_PICTURES = 64
"""Bounds the time: every layer is measured on them, and so is every attempt."""
FEWEST_OF_LARGE = 16
"""Fewest pictures, if they are large."""


def held_out_pictures(network: TfliteNetwork, pictures: np.ndarray) -> np.ndarray:
    """Return the first of these pictures, a bounded number, fewer of large ones."""
    height, width = network.shapes[network.image][1:3]
    fitting = 2 * PIXELS_PER_BATCH // (height * width)
    return pictures[: min(MOST_PICTURES, max(FEWEST_OF_LARGE, fitting))]


def find_fallback(
    network: TfliteNetwork,
    scheme: Scheme,
    correct: Callable[[Scheme], Scheme],
    pictures: np.ndarray,
    progress: Progress,
) -> FloatFallback | None:
    """Find the fewest layers in float that lift the answers above the floor.

    Layers are taken in the order of their noise. The first number is that whose shares of the noise
    are enough. It is doubled until the answers are good enough, and then bisected. Their weights
    stay in 8 bits, unless that alone holds the answers below the floor.

    Args:
        network: The float graph.
        scheme: Weights, ranges, and the operators that compute in float in any case.
        correct: Returns a scheme with biases that fit its roundings.
        pictures: Held-out pictures, uint8 ``(count, height, width, 3)``: neither the ranges nor the
            biases of the scheme come from them.
        progress: See ``Progress``.

    Returns:
        The layers and what they change; None if the answers are above the floor without them, if
        all of them hardly lift the answers, or if no layer rounds anything. Where the agreement
        stays below its floor with all layers in float, since weights in 8 bits are enough to change
        close answers, only the SQNR counts.
    """
    answers = _Answers(network, pictures)
    corrected = correct(scheme)
    integer = answers.of(corrected)
    if is_enough(integer):
        return None
    rows = measure_sensitivity(network, corrected, pictures, progress)
    layers = FloatLayers(network, scheme.float_operations)
    integers = [row for row in rows if layers.operations([row.layer]) != scheme.float_operations]
    noisy = sorted((row for row in integers if row.share > 0), key=lambda row: -row.share)

    @cache
    def attempt(count: int, has_float_weights: bool = False) -> FloatFallback:
        chosen = layers.joined(layers.layers([row.layer for row in noisy[:count]]))
        added = layers.operations(chosen) - scheme.float_operations
        mixed = answers.of(correct(with_float(scheme, added, has_float_weights)))
        words = f"{count} of {len(noisy)}: {mixed.agreement:.1%} agreement, {mixed.sqnr_db:.1f} dB"
        progress("layers to float", count, len(noisy), words)
        cost = _cost(network, added)
        return FloatFallback(chosen, added, integer, mixed, *cost, has_float_weights)

    first, most = _first_number(noisy, integer), len(noisy)
    found = _fewest(attempt, first, most, is_enough)
    if found is None or is_enough(found.mixed):
        return found
    if _is_clear(integer):
        return None
    with_weights = partial(attempt, has_float_weights=True)
    for tried, enough in (
        (attempt, _is_clear),
        (with_weights, is_enough),
        (with_weights, _is_clear),
    ):
        found = _fewest(tried, first, most, enough)
        if found is not None and enough(found.mixed):
            return found
    stored, wide = attempt(most), with_weights(most)
    found = wide if _gains(stored.mixed, wide.mixed) else stored
    return found if _gains(integer, found.mixed) else None


def with_float(
    scheme: Scheme, operations: frozenset[int], has_float_weights: bool = False
) -> Scheme:
    """Return the scheme with these operators in float, and their kernels stored in 8 bits.

    With ``has_float_weights`` the kernels are stored in float32.
    """
    kept = scheme.float_operations | operations
    stored = frozenset() if has_float_weights else operations
    return replace(scheme, float_operations=kept, weight_only=stored)


def is_enough(answers: HeldOutAnswers) -> bool:
    """Return True if no layer has to go to float for these answers; False where they are NaN."""
    return _is_clear(answers) and answers.agreement >= FLOOR_AGREEMENT


def _gains(before: HeldOutAnswers, after: HeldOutAnswers) -> bool:
    """Return True if the answers are so much better; False where they are NaN."""
    return after.sqnr_db >= before.sqnr_db + LEAST_GAIN_DB


def _is_clear(answers: HeldOutAnswers) -> bool:
    return answers.sqnr_db >= FLOOR_DB


@dataclass(frozen=True)
class _Answers:
    """Pictures, and what the float network answers for them."""

    network: TfliteNetwork
    pictures: np.ndarray

    def of(self, scheme: Scheme) -> HeldOutAnswers:
        """Compare a scheme's simulated answers with those of the float network."""
        logits = self._centred(simulate(self.network, scheme, self.pictures))
        found = mean_sqnr_db(self.expected, logits)
        return HeldOutAnswers(found, agreement(self.expected, logits), len(self.pictures))

    @cached_property
    def expected(self) -> np.ndarray:
        return self._centred(measure_float_outputs(self.network, self.pictures).logits)

    def _centred(self, logits: np.ndarray) -> np.ndarray:
        centred: np.ndarray = centred_logits(self.network, logits).numpy()
        return centred


def _first_number(noisy: Sequence[LayerSensitivity], integer: HeldOutAnswers) -> int:
    """Return the number of layers without which the noise would be at the floor, at least 1.

    Noise of single layers is taken to add up, which it hardly does in deep networks.
    """
    allowed = 10 ** ((integer.sqnr_db - FLOOR_DB) / 10)
    left = 1 - np.cumsum([row.share for row in noisy])
    return 1 + int((left > allowed).sum()) if allowed < 1 else 1


def _fewest(
    attempt: Callable[[int], FloatFallback],
    first: int,
    most: int,
    enough: Callable[[HeldOutAnswers], bool],
) -> FloatFallback | None:
    """Return the attempt with the fewest layers that is enough; with all of them if none is."""
    too_few, count, found = 0, min(first, most), None
    while count > too_few:
        found = attempt(count)
        if enough(found.mixed):
            break
        too_few, count = count, min(2 * count, most)
    while found is not None and count - too_few > 1:
        between = (count + too_few) // 2
        tried = attempt(between)
        if enough(tried.mixed):
            count, found = between, tried
        else:
            too_few = between
    return found


def _cost(network: TfliteNetwork, operations: Collection[int]) -> tuple[int, float]:
    """Return the bytes that these operators' weights take more in float32 than in int8.

    The second value is their share of all multiply-adds.
    """
    products = {
        op.index: math.prod(network.shapes[op.output][1:-1])
        * network.parameters[op.index].kernel.size
        for op in network.weighted
    }
    weights = sum(network.parameters[i].kernel.size for i in products.keys() & operations)
    share = sum(products[i] for i in products.keys() & operations) / max(1, sum(products.values()))
    return MORE_BYTES * weights, share
