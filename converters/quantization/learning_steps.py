"""How long the levels that learn learn. Nothing here needs TensorFlow."""

from __future__ import annotations

BATCH = 32
"""Pictures in a step at 64x64. Larger pictures make smaller batches, to bound the memory."""

DISTILLING_STEPS = 600

EPOCHS = 3
FEWEST_STEPS = 300
MOST_STEPS = 1250
"""20 minutes on two slow cores."""


def batch_size(height: int, width: int) -> int:
    """Return the number of pictures of this size in a step."""
    return max(4, min(BATCH, BATCH * 64 * 64 // (height * width)))


def training_steps(pictures: int, size: int) -> int:
    """Return the number of steps with labels of so many pictures, in batches of this size."""
    return max(FEWEST_STEPS, min(MOST_STEPS, EPOCHS * pictures // size))
