"""Pictures with their classes, and how they are varied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Augment = Callable[[Any, int], Any]
"""From float32 pictures and the number of the step to varied pictures of the same shape."""


@dataclass(frozen=True)
class LabelledPictures:
    """Pictures with their classes."""

    pictures: np.ndarray
    """Raw RGB, uint8 ``(count, height, width, 3)``, may be a memory map."""
    labels: np.ndarray
    """int ``(count,)``."""

    def __post_init__(self) -> None:
        if len(self.pictures) != len(self.labels):
            raise ValueError(f"{len(self.pictures)} pictures with {len(self.labels)} labels")
