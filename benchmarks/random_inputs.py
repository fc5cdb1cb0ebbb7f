"""A ResNet50 with random weights, and pictures of blobs, for figures that depend on shapes only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def random_resnet50(size: int) -> Any:  # noqa: ANN401
    """Return Keras' own ResNet50 of 1000 classes for pictures of this side, with fixed weights."""
    import keras

    keras.utils.set_random_seed(0)
    return keras.applications.ResNet50(weights=None, input_shape=(size, size, 3))


def blobs(count: int, size: int) -> Iterator[np.ndarray]:
    """Yield pictures, uint8 ``(size, size, 3)``; ``size`` is a multiple of 8."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        levels = rng.integers(0, 256, (8, 8, 3), np.uint8)
        yield levels.repeat(size // 8, 0).repeat(size // 8, 1)


def save_pictures(folder: Path, pictures: Iterator[np.ndarray]) -> None:
    """Write pictures as PNG files."""
    from PIL import Image

    folder.mkdir(exist_ok=True)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number}.png")
