"""Differences between answers and those of the float network."""

from __future__ import annotations

import math

import numpy as np

SMALLEST_PROBABILITY = 1e-30
"""A smaller probability counts as this one where its logarithm is taken: float32 reaches 1e-38."""


WORST_DB, BEST_DB = -20.0, 60.0
"""Bounds of a picture's SQNR in a mean: an exact answer or one without a signal hides no other."""


def decibels(signal: float, noise: float) -> float:
    """Return the ratio of two sums of squares in decibels; infinite without noise."""
    if not noise:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def centred_log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Return the logarithms of probabilities minus their mean over the classes.

    Args:
        probabilities: Float ``(n, classes)``, at least 0.

    Returns:
        Float64 ``(n, classes)``: the logits, up to the constant that a softmax does not keep.
    """
    logs = np.log(np.maximum(probabilities.astype(np.float64), SMALLEST_PROBABILITY))
    centred: np.ndarray = logs - logs.mean(axis=1, keepdims=True)
    return centred


def sqnr_db(expected: np.ndarray, actual: np.ndarray) -> float:
    """Return the signal to quantization noise ratio (SQNR) in decibels; NaN if the noise is."""
    noise = float(np.square(actual.astype(np.float64) - expected).sum())
    signal = float(np.square(expected.astype(np.float64)).sum())
    if not math.isfinite(noise):
        return math.nan
    return decibels(signal, noise)


def mean_sqnr_db(expected: np.ndarray, actual: np.ndarray) -> float:
    """Return the mean of the pictures' own SQNR, so that one unusual picture does not decide.

    Each counts as at least ``WORST_DB`` and at most ``BEST_DB``. NaN stays NaN.
    """
    found = [sqnr_db(one, other) for one, other in zip(expected, actual, strict=True)]
    return float(np.clip(found, WORST_DB, BEST_DB).mean())


def agreement(expected: np.ndarray, actual: np.ndarray) -> float:
    """Return the share of pictures with the same best class, in [0, 1]."""
    return float((expected.argmax(axis=1) == actual.argmax(axis=1)).mean())
