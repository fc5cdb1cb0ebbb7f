"""Pictures in several views, with a teacher's answers to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from converters.learning.memory_maps import forget_pages

Tensor = Any

VIEWS = 6
"""Views of every picture: the picture, mirrored, and both shifted by up to a tenth."""


class Lessons:
    """Views of pictures to learn from. The teacher answers a view when it is first used.

    Args:
        teacher: From float32 pictures ``(batch, height, width, 3)`` to centred logits.
        pictures: uint8 ``(count, height, width, 3)``, may be a memory map.
        chosen: Numbers of the pictures to learn from.
    """

    def __init__(
        self, teacher: Callable[[Tensor], Tensor], pictures: np.ndarray, chosen: np.ndarray
    ) -> None:
        self._teacher, self._pictures, self._chosen = teacher, pictures, chosen
        self._answers: dict[int, np.ndarray] = {}
        self.count = VIEWS * len(chosen)

    def give(self, views: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return pictures and the teacher's centred logits for them."""
        x = tf.constant(np.stack([self._view(int(view)) for view in views]), tf.float32)
        forget_pages(self._pictures)
        if any(view not in self._answers for view in views):
            self._answers |= zip(views, self._teacher(x).numpy(), strict=True)
        return x, tf.constant(np.stack([self._answers[view] for view in views]))

    def _view(self, number: int) -> np.ndarray:
        """Return a picture as it is, mirrored, or also shifted, uint8."""
        view, index = divmod(number, len(self._chosen))
        picture = np.asarray(self._pictures[self._chosen[index]])
        height, width = picture.shape[:2]
        one = picture[:, ::-1] if view % 2 else picture
        if view > 1:
            pad = max(1, min(height, width) // 10)
            wide = np.pad(one, ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
            top, left = np.random.default_rng(number).integers(0, 2 * pad + 1, 2)
            one = wide[top : top + height, left : left + width]
        return one
