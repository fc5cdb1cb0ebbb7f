"""Features of mean 0 and deviation 1 for the head to learn on, folded into its weights afterwards.

Backbones answer features of any scale; a learning rate fits one scale. The fold is exact, so the
network that comes out has no further layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

LEAST_DEVIATION = 0.1
"""Smallest deviation, as a share of the mean one. A rarer feature is not scaled up: it would need
weights that no 8-bit grid holds beside the others."""

_CHUNK = 4096


@dataclass(frozen=True)
class Standardization:
    """``(features - mean) * scale``, each ``(channels,)``, float32."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    def apply(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Standardize features ``(batch, channels)``."""
        return (features - self.mean) * self.scale

    def unfold(self, head: keras.layers.Dense) -> None:
        """Change a head for raw features into one that answers the same for standardized ones."""
        kernel = keras.ops.convert_to_numpy(head.kernel)
        self._assign(head, kernel / self.scale[:, None], self.mean @ kernel)

    def fold(self, head: keras.layers.Dense) -> None:
        """Change a head for standardized features into one that answers the same for raw ones."""
        kernel = keras.ops.convert_to_numpy(head.kernel) * self.scale[:, None]
        self._assign(head, kernel, -self.mean @ kernel)

    def _assign(
        self, head: keras.layers.Dense, kernel: NDArray[np.float32], shift: NDArray[np.float32]
    ) -> None:
        head.kernel.assign(kernel)
        if head.use_bias:
            head.bias.assign(keras.ops.convert_to_numpy(head.bias) + shift)


def measure_standardization(
    views: Sequence[NDArray[np.float32]], *, centre: bool
) -> Standardization:
    """Measure features' mean and deviation, a chunk at a time.

    Args:
        views: Features ``(n, channels)`` of each view.
        centre: True takes the mean off; it cannot be folded into a head without a bias.

    Returns:
        The standardization; deviations below ``LEAST_DEVIATION`` of their mean are raised to it.
    """
    width = views[0].shape[1]
    total, squares, count = np.zeros(width), np.zeros(width), 0
    for view in views:
        for start in range(0, len(view), _CHUNK):
            chunk = view[start : start + _CHUNK].astype(np.float64)
            total += chunk.sum(axis=0)
            squares += (chunk**2).sum(axis=0)
            count += len(chunk)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    floor = max(LEAST_DEVIATION * float(deviation.mean()), 1e-6)
    scale = (1 / np.maximum(deviation, floor)).astype(np.float32)
    return Standardization((mean if centre else 0 * mean).astype(np.float32), scale)
