"""Distances between two sets of class probabilities: pure functions on arrays.

Those that take two sides read them in blocks, so these may be mapped files of any length. Sums over
pictures add one number of each picture, in their order, so that no figure depends on the blocks.

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

from resnet_edge.ondevice.row_blocks import row_blocks

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]
Booleans = npt.NDArray[np.bool_]

FLOAT_FLOOR = 1e-30
"""The smallest probability before the logarithm: float32 reaches 1e-38, zeros are underflow."""

UINT8_FLOOR = 1 / 512
"""Half a step of a softmax that answers in steps of 1/256."""

NO_ANSWER = -1
"""Stands for the answer where probabilities are not finite."""

CONFUSION_CLASSES = 100
"""With more classes the confusion matrix is left out: nobody reads a million numbers."""


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
    logs: npt.NDArray[np.float64] = np.maximum(probabilities, floor, dtype=np.float64)
    np.log(logs, out=logs)
    with np.errstate(invalid="ignore"):
        logs -= logs.mean(axis=1, keepdims=True)
    return logs


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
    if not len(reference):
        return LogitComparison(*[math.nan] * 6)
    sums = np.empty((6, len(reference)))
    largest, low, high = 0.0, math.inf, -math.inf
    for rows, (ours, theirs) in row_blocks(reference, artifact):
        if not np.isfinite(theirs).all():
            return LogitComparison(*[math.nan] * 6)
        found = _distances(centred_logits(ours, floor), centred_logits(theirs, floor))
        sums[:, rows] = found.sums
        largest, low, high = max(largest, found.largest), min(low, found.low), max(high, found.high)
    signal, power, noise, product, distance, divergence = sums.sum(axis=1).tolist()
    return LogitComparison(
        max_abs=largest,
        mean_abs=distance / math.prod(reference.shape),
        logit_range=high - low,
        cosine=_cosine(product, signal, power),
        sqnr_db=_decibels(signal, noise),
        kl=divergence / len(reference),
    )


@dataclass(frozen=True)
class _Distances:
    sums: tuple[Floats, ...]
    """Each of shape (n,)."""
    largest: float
    low: float
    high: float


def _distances(ours: Floats, theirs: Floats) -> _Distances:
    """Measure a block of centred logits, picture by picture."""
    difference = np.abs(ours - theirs)
    sums: tuple[Floats, ...] = (
        np.square(ours).sum(axis=1),
        np.square(theirs).sum(axis=1),
        np.square(difference).sum(axis=1),
        (ours * theirs).sum(axis=1),
        difference.sum(axis=1),
        _divergences(ours, theirs),
    )
    return _Distances(sums, float(difference.max()), float(ours.min()), float(ours.max()))


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
    ordered = np.partition(probabilities, max(0, classes - 2), axis=1)
    two[:, -min(2, classes) :] = ordered[:, -2:]
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
    parts = [_agree(*blocks) for _, blocks in row_blocks(reference, artifact)]
    return np.concatenate(parts) if parts else np.zeros(0, np.bool_)


def _agree(reference: Floats, artifact: Floats) -> Booleans:
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
    answers: Integers, labels: Integers, classes: int
) -> tuple[tuple[int, ...], ...]:
    """Return the confusion matrix as a record keeps it; see ``confusion_matrix``.

    Returns:
        A row per true class; nothing where there are more than ``CONFUSION_CLASSES``.
    """
    if classes > CONFUSION_CLASSES:
        return ()
    matrix = confusion_matrix(answers, labels, classes)
    return tuple(tuple(row) for row in matrix.tolist())
