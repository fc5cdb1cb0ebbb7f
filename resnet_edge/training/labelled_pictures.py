"""The decoded pictures that training takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_edge.data.pixel_source import ManyPixels
from resnet_edge.errors import DataError


@dataclass(frozen=True)
class LabelledPictures:
    """Pictures of one split with their classes.

    Raises:
        DataError: The arrays do not fit together, or there is no picture.
    """

    pictures: ManyPixels
    """RGB ``(n, height, width, 3)``; may be a memory map larger than memory, or streamed."""
    labels: NDArray[np.int64]
    """Class of each picture, ``(n,)``, from 0."""
    key: str
    """Hash of the contents; caches and interrupted runs are told apart by it."""

    def __post_init__(self) -> None:
        shape, kind = self.pictures.shape, self.pictures.dtype
        if kind != np.uint8 or len(shape) != 4 or shape[-1] != 3:
            raise DataError(
                f"pictures: got {kind} {shape}; expected uint8 (n, height, width, 3) as decoded"
            )
        if self.labels.dtype != np.int64 or self.labels.shape != shape[:1]:
            raise DataError(
                f"labels: got {self.labels.dtype} {self.labels.shape}; expected int64 "
                f"({shape[0]},), one for each picture"
            )
        if not len(self):
            raise DataError("pictures: got none; expected at least one; check the split's shares")
        if self.labels.min() < 0:
            raise DataError(f"labels: got {self.labels.min()}; expected classes from 0")

    def __len__(self) -> int:
        return int(self.pictures.shape[0])
