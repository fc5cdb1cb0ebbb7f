"""How long the levels that learn learn. Nothing here needs TensorFlow."""

from __future__ import annotations

DISTILLING_STEPS = 600

EPOCHS = 3
FEWEST_STEPS = 300
MOST_STEPS = 1250
"""20 minutes on two slow cores."""


def training_steps(pictures: int, size: int) -> int:
    """Return the number of steps with labels of so many pictures, in batches of this size."""
    return max(FEWEST_STEPS, min(MOST_STEPS, EPOCHS * pictures // size))
