"""The ways from a picture's shape to the input's."""

from __future__ import annotations

import enum


class Fit(enum.Enum):
    """The way a picture is brought to the input size; always bilinear, antialiased."""

    CROP = "crop"
    """Resize until it covers the size, then cut the centre out: nothing distorted, edges lost."""
    STRETCH = "stretch"
    """Resize to the size: nothing lost, proportions changed."""
    PAD = "pad"
    """Resize until it lies within the size, black borders: nothing lost, less of the area used."""
