"""The part of the calibration pictures that choices and biases are computed with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.learning.memory_maps import forget_pages
from converters.quantization.tensorflow_execution import (
    PIXELS_PER_BATCH,
)
from converters.quantization.tflite_network import TfliteNetwork


@dataclass(frozen=True)
class Sample:
    """Pictures to choose a candidate and to correct biases with."""

    pictures: np.ndarray
    """uint8 ``(count, height, width, 3)``. Biases are corrected with them in the end."""
    fitting: int
    """Number of pictures at the start that are not of the last quarter."""
    held_out: np.ndarray
    """The last quarter, uint8 ``(count, height, width, 3)``, bounded too."""

    @property
    def fitted(self) -> np.ndarray:
        """Those that are not held out."""
        return self.pictures[: self.fitting]


def sample_pictures(network: TfliteNetwork, pictures: np.ndarray) -> Sample:
    """Draw a bounded number of pictures; those that are held out are of the last quarter.

    Biases need all pictures of a layer in memory at once. Answers are computed in batches, so more
    pictures judge them: of few, one with rare values would decide.
    """
    height, width = network.shapes[network.image][1:3]
    batch = PIXELS_PER_BATCH // (height * width)
    most = max(8, 2 * batch)
    *fit, held = draw_quarters(len(pictures))
    chosen = np.concatenate(fit)[: 2 * most // 3]
    rest = held[: most - len(chosen)]
    judging = held[: max(16, 4 * batch)]
    found = np.asarray(pictures[np.concatenate([chosen, rest])])
    held_out = np.asarray(pictures[judging])
    forget_pages(pictures)
    return Sample(found, len(chosen), held_out)


def draw_quarters(count: int) -> list[np.ndarray]:
    """Return indices of four parts of the pictures, drawn at random: classes may be in order."""
    order = np.random.default_rng(0).permutation(count)
    order = np.resize(order, max(4, count))  # every quarter needs one
    return [order[start::4] for start in range(4)]
