"""Answers that are worthless, whatever their distance to the reference's is."""

from __future__ import annotations

import math

import numpy as np

from resnet_edge.ondevice.parity.metrics import FLOAT_FLOOR, Integers
from resnet_edge.ondevice.parity.picture_figures import PictureFigures

CHANCE_LEVEL = 0.05
"""One-sided error of the two binomial tests in ``find_collapse``."""


def find_collapse(
    figures: PictureFigures,
    labels: Integers,
    label_names: tuple[str, ...],
    floor: float = FLOAT_FLOOR,
) -> str | None:
    """Return the reason why a set of answers is worthless; None if it is not.

    The checks, in this order: no pictures; NaN or infinity; no probabilities (negative, or not
    adding up to 1); one class for every picture though the labels are several; accuracy at chance
    level.

    Chance level is judged by two exact binomial tests at 5 %: the hits are no more than guessing
    among all classes gives, *and* fewer than a model half-way between guessing and perfect would
    have. With few pictures, the second test alone tells a useful model from a worthless one.

    Args:
        figures: Those of the n answers.
        labels: Shape (n,).
        label_names: One per class.
        floor: Half a step of the output; the sums may be off by one such half per class.

    Returns:
        A sentence for a person, or None.
    """
    count, classes = len(labels), len(label_names)
    if count == 0:
        return "no pictures were answered"
    if bad := int(count - figures.finite.sum()):
        return f"NaN or infinity in the answers to {bad} of {count} pictures"
    if problem := _find_bad_sums(figures, max(0.01, classes * floor)):
        return problem
    answers = np.unique(figures.first_best)
    if len(np.unique(labels)) > 1 and len(answers) == 1:
        name = label_names[int(answers[0])]
        return f"one class for everything: the answer to all {count} pictures is {name!r}"
    return _find_chance(int(figures.right.sum()), count, classes)


def _find_bad_sums(figures: PictureFigures, tolerance: float) -> str | None:
    sums = figures.sums
    bad = (np.abs(sums - 1) > tolerance) | figures.negative
    if not bad.any():
        return None
    example = float(sums[bad.argmax()])
    return (
        f"no probabilities: {int(bad.sum())} of {len(sums)} answers are negative or do not add up "
        f"to 1 (the first adds up to {example:.4g}); is the softmax missing?"
    )


def _find_chance(hits: int, count: int, classes: int) -> str | None:
    if classes < 2:
        return None
    chance = 1 / classes
    guessed = 1 - binomial_cdf(hits - 1, count, chance)
    useful = binomial_cdf(hits, count, (1 + chance) / 2)
    if guessed <= CHANCE_LEVEL or useful > CHANCE_LEVEL:
        return None
    return (
        f"chance level: {hits} of {count} pictures are right ({hits / count:.1%}); "
        f"guessing among {classes} classes gives {chance:.1%}"
    )


def binomial_cdf(hits: int, count: int, share: float) -> float:
    """Return the probability of at most ``hits`` successes in ``count`` trials of chance ``share``.

    Args:
        hits: Below 0 gives 0, ``count`` or more gives 1.
        count: Number of trials.
        share: Strictly between 0 and 1.
    """
    if hits >= count:
        return 1.0
    whole = math.lgamma(count + 1)
    terms = (
        whole
        - math.lgamma(k + 1)
        - math.lgamma(count - k + 1)
        + k * math.log(share)
        + (count - k) * math.log1p(-share)
        for k in range(hits + 1)
    )
    return min(1.0, math.fsum(math.exp(term) for term in terms))
