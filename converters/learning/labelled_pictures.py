"""Pictures with their classes, how they are varied, and how well they are answered."""

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


def cross_entropy_and_top1(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return the mean cross-entropy in nats, and the share of right answers, in [0, 1].

    Args:
        logits: ``(count, classes)``.
        labels: int ``(count,)``.
    """
    exact = logits.astype(np.float64)
    top = exact.max(axis=1, keepdims=True)
    normalizers = top[:, 0] + np.log(np.exp(exact - top).sum(axis=1))
    losses = normalizers - exact[np.arange(len(labels)), labels]
    return float(losses.mean()), float((exact.argmax(axis=1) == labels).mean())
