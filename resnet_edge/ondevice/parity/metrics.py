"""Distances between two sets of class probabilities: pure functions on arrays.

``probabilities`` is always float (n, classes) in [0, 1], and ``labels`` is integer (n,).

Ties are settled so that none ever counts in an artifact's favour: a picture is right only where its
label is *strictly* better than all the others, and two answers agree only where the same classes
are best. An integer softmax answers in steps of 1/256, so with an argmax alone the order of the
classes would decide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]
Booleans = npt.NDArray[np.bool_]

FLOAT_FLOOR = 1e-30
"""The smallest probability before the logarithm: float32 reaches 1e-38, zeros are underflow."""

UINT8_FLOOR = 1 / 512
"""Half a step of a softmax that answers in steps of 1/256."""

NO_ANSWER = -1
"""Stands for the answer where probabilities are not finite."""

CHANCE_LEVEL = 0.05
"""One-sided error of the two binomial tests in ``find_collapse``."""

CONFUSION_CLASSES = 100
"""With more classes the confusion matrix is left out: nobody reads a million numbers."""

_ROWS = 4096  # bounds memory: 1000 classes in float64 are 33 MB


@dataclass(frozen=True)
class LogitComparison:
    """An artifact's centred logits against the reference's, over all pictures."""

    max_abs: float
    mean_abs: float
    logit_range: float
    """Largest minus smallest logit of the reference."""
    cosine: float
    """The cosine of all logits as one vector, in [-1, 1]."""
    sqnr_db: float
    """Signal to quantization noise, 10 log10(sum ref^2 / sum (ref - test)^2); infinite if equal."""
    kl: float
    """Mean Kullback-Leibler divergence of the artifact from the reference, in nats."""


def centred_logits(probabilities: Floats, floor: float = FLOAT_FLOOR) -> npt.NDArray[np.float64]:
    """Return the logarithms of probabilities minus their mean over the classes.

    A constant added to all logits does not change their softmax; without the mean they are unique.

    Args:
        probabilities: Shape (n, classes).
        floor: Smaller probabilities count as this one; 0 would be minus infinity.

    Returns:
        float64 (n, classes), every row of mean 0. NaN where the row holds NaN or infinity.
    """
    logs = np.log(np.maximum(probabilities.astype(np.float64), floor))
    with np.errstate(invalid="ignore"):
        centred: npt.NDArray[np.float64] = logs - logs.mean(axis=1, keepdims=True)
    return centred


def compare_logits(
    reference: Floats, artifact: Floats, floor: float = FLOAT_FLOOR
) -> LogitComparison:
    """Measure the distance between two sets of probabilities.

    Both have the same floor, so that probabilities too small for the artifact do not count.

    Args:
        reference: Probabilities, shape (n, classes).
        artifact: The same shape.
        floor: As in ``centred_logits``.

    Returns:
        Figures over all n pictures; all NaN where n is 0 or an answer is not finite.
    """
    if not len(reference) or not np.isfinite(artifact).all():
        return LogitComparison(*[math.nan] * 6)
    signal = noise = power = product = distance = divergence = largest = 0.0
    low, high = math.inf, -math.inf
    for start in range(0, len(reference), _ROWS):
        ours = centred_logits(reference[start : start + _ROWS], floor)
        theirs = centred_logits(artifact[start : start + _ROWS], floor)
        difference = np.abs(ours - theirs)
        signal += float(np.square(ours).sum())
        power += float(np.square(theirs).sum())
        noise += float(np.square(difference).sum())
        product += float((ours * theirs).sum())
        distance += float(difference.sum())
        divergence += float(_divergences(ours, theirs).sum())
        largest = max(largest, float(difference.max()))
        low, high = min(low, float(ours.min())), max(high, float(ours.max()))
    return LogitComparison(
        max_abs=largest,
        mean_abs=distance / reference.size,
        logit_range=high - low,
        cosine=_cosine(product, signal, power),
        sqnr_db=_decibels(signal, noise),
        kl=divergence / len(reference),
    )


def _divergences(ours: Floats, theirs: Floats) -> Floats:
    ours = ours - np.log(np.exp(ours).sum(axis=1, keepdims=True))
    theirs = theirs - np.log(np.exp(theirs).sum(axis=1, keepdims=True))
    sums: Floats = (np.exp(ours) * (ours - theirs)).sum(axis=1)
    return np.maximum(sums, 0.0)  # negative only by rounding


def _cosine(product: float, signal: float, power: float) -> float:
    if signal == power == product:  # equal vectors, also two of zeros
        return 1.0
    if signal == 0 or power == 0:
        return 0.0
    return max(-1.0, min(1.0, product / math.sqrt(signal) / math.sqrt(power)))


def _decibels(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def finite_rows(probabilities: Floats) -> Booleans:
    """Return True for each picture whose answer has neither NaN nor infinity: bool (n,)."""
    return np.asarray(np.isfinite(probabilities).all(axis=1), np.bool_)


def topk_hits(probabilities: Floats, labels: Integers, k: int) -> Booleans:
    """Return True for each picture whose label is among the ``k`` most probable classes.

    Classes as probable as the label's count as better ones, so a tie is never a hit by luck. With
    ``k`` classes or fewer every finite answer is a hit.

    Args:
        probabilities: Shape (n, classes).
        labels: Shape (n,), in [0, classes).
        k: At least 1.

    Returns:
        bool (n,); False where the answer is not finite.
    """
    own = np.take_along_axis(probabilities, labels[:, None].astype(np.intp), axis=1)
    better = np.count_nonzero(~(probabilities < own), axis=1) - 1  # the label itself is in it
    hits: Booleans = (better < k) & finite_rows(probabilities)
    return hits


def best_classes(probabilities: Floats) -> Booleans:
    """Return True for the most probable classes: bool (n, classes), several per row in a tie."""
    best: Booleans = probabilities == probabilities.max(axis=1, keepdims=True)
    return best & finite_rows(probabilities)[:, None]


def largest_two(probabilities: Floats) -> tuple[Floats, Floats]:
    """Return the second largest and the largest probability of each picture, both (n,).

    The second of a single class is 0.
    """
    count, classes = probabilities.shape
    two = np.zeros((count, 2), probabilities.dtype)
    for start in range(0, count, _ROWS):
        block = np.partition(probabilities[start : start + _ROWS], max(0, classes - 2), axis=1)
        two[start : start + _ROWS, -min(2, classes) :] = block[:, -2:]
    return two[:, 0], two[:, 1]


def top_answers(probabilities: Floats, labels: Integers) -> Integers:
    """Return the most probable class of each picture; in a tie the first that is **not** the label.

    Returns:
        Integer (n,), ``NO_ANSWER`` where not finite. Equal to the label exactly where
        ``topk_hits(…, 1)``.
    """
    best = best_classes(probabilities)
    tied = best.sum(axis=1) > 1
    best[tied, labels[tied]] = False
    return np.where(best.any(axis=1), best.argmax(axis=1), NO_ANSWER)


def agreements(reference: Floats, artifact: Floats) -> Booleans:
    """Return True where both have the same best classes: bool (n,), False where not finite."""
    same = (best_classes(reference) == best_classes(artifact)).all(axis=1)
    agree: Booleans = same & finite_rows(reference) & finite_rows(artifact)
    return agree


def confusion_matrix(answers: Integers, labels: Integers, classes: int) -> Integers:
    """Count answers by true class.

    Args:
        answers: Integer (n,); ``NO_ANSWER`` is not counted.
        labels: Integer (n,).
        classes: Number of classes.

    Returns:
        int64 (classes, classes): rows are true classes, columns are answers.
    """
    matrix = np.zeros((classes, classes), np.int64)
    given = answers != NO_ANSWER
    np.add.at(matrix, (labels[given], answers[given]), 1)
    return matrix


def confusion_rows(
    probabilities: Floats, labels: Integers, classes: int
) -> tuple[tuple[int, ...], ...]:
    """Return the confusion matrix as a record keeps it.

    Returns:
        A row per true class; nothing where there are more than ``CONFUSION_CLASSES``.
    """
    if classes > CONFUSION_CLASSES:
        return ()
    matrix = confusion_matrix(top_answers(probabilities, labels), labels, classes)
    return tuple(tuple(row) for row in matrix.tolist())


def find_collapse(
    probabilities: Floats,
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
        probabilities: Shape (n, classes).
        labels: Shape (n,).
        label_names: One per class.
        floor: Half a step of the output; the sums may be off by one such half per class.

    Returns:
        A sentence for a person, or None.
    """
    count, classes = len(labels), len(label_names)
    if count == 0:
        return "no pictures were answered"
    if bad := int(count - finite_rows(probabilities).sum()):
        return f"NaN or infinity in the answers to {bad} of {count} pictures"
    if problem := _find_bad_sums(probabilities, max(0.01, classes * floor)):
        return problem
    if len(set(labels.tolist())) > 1 and len(answers := set(probabilities.argmax(axis=1))) == 1:
        name = label_names[int(answers.pop())]
        return f"one class for everything: the answer to all {count} pictures is {name!r}"
    return _find_chance(int(topk_hits(probabilities, labels, 1).sum()), count, classes)


def _find_bad_sums(probabilities: Floats, tolerance: float) -> str | None:
    sums = probabilities.sum(axis=1, dtype=np.float64)
    bad = (np.abs(sums - 1) > tolerance) | (probabilities < 0).any(axis=1)
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
