"""The part of the calibration pictures that choices and biases are computed with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.quantization.tensorflow_execution import (
    PIXELS_PER_BATCH,
    forget_pages,
)
from converters.quantization.tflite_network import TfliteNetwork


@dataclass(frozen=True)
class Sample:
    """Pictures to choose a strength and to correct biases with."""

    pictures: np.ndarray
    """uint8 ``(count, height, width, 3)``, the held-out ones at the end."""
    held_out: int
    """Number of held-out pictures."""

    @property
    def fitted(self) -> np.ndarray:
        """Those that are not held out."""
        return self.pictures[: len(self.pictures) - self.held_out]


def sample_pictures(network: TfliteNetwork, pictures: np.ndarray) -> Sample:
    """Draw a bounded number of pictures. A third of them is held out, from the last quarter."""
    height, width = network.shapes[network.image][1:3]
    most = max(8, 2 * PIXELS_PER_BATCH // (height * width))
    *fit, held = draw_quarters(len(pictures))
    chosen = np.concatenate(fit)[: 2 * most // 3]
    held = held[: most - len(chosen)]
    found = np.asarray(pictures[np.concatenate([chosen, held])])
    forget_pages(pictures)
    return Sample(found, len(held))


def draw_quarters(count: int) -> list[np.ndarray]:
    """Return indices of four parts of the pictures, drawn at random: classes may be in order."""
    order = np.random.default_rng(0).permutation(count)
    order = np.resize(order, max(4, count))  # every quarter needs one
    return [order[start::4] for start in range(4)]
