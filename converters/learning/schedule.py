"""The order of pictures, the size of batches, the decay of rates. Nothing here needs TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

BATCH = 32
"""Pictures in a step at 64x64. Larger pictures make smaller batches, to bound the memory."""


def batch_size(height: int, width: int) -> int:
    """Return the number of pictures of this size in a step."""
    return max(4, min(BATCH, BATCH * 64 * 64 // (height * width)))


def shuffled(count: int, size: int, steps: int, seed: int) -> Iterator[np.ndarray]:
    """Yield indices for every step: all in a new order, again and again.

    Raises:
        ValueError: There is nothing to learn from.
    """
    if count < 1:
        raise ValueError("no pictures to learn from")
    rng = np.random.default_rng(seed)
    waiting = np.empty(0, np.int64)
    for _ in range(steps):
        while len(waiting) < size:
            waiting = np.concatenate([waiting, rng.permutation(count)])
        chosen, waiting = waiting[:size], waiting[size:]
        yield chosen


def cosine(step: int, steps: int) -> float:
    """Return the share of the learning rates at a step, from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))
