"""Level ``distilled``, after learned rounding: a student trained against the float model's logits.

The teacher is the float network, and no labels are needed. The training decides once more how
weights are rounded (as AdaRound does, Nagel et al. 2020, arXiv:2004.10568), now by the logits and
not by each layer's sums, and learns biases and ranges.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from converters.errors import ModelConversionError
from converters.quantization.calibrated_network import CalibratedNetwork, Progress
from converters.quantization.exam import Exam, hold_out, passed
from converters.quantization.learning_steps import DISTILLING_STEPS, batch_size
from converters.quantization.student import Rates, Student, cosine, shuffled, teacher_of
from converters.quantization.tensorflow_execution import forget_pages
from converters.quantization.tensorflow_operators import Tensor

RATES = Rates(weights=0.0015, biases=0.01, ranges=0.001)
"""With a cosine decay to zero a weight moves at most half a step, and a range by a third."""

LEAD = 4.0
"""Weight of errors in the lead of the best class over the second. Such errors change answers."""

CHECK_EVERY = 100
"""Steps between examinations. More of them would let chance choose."""

VIEWS = 6
"""Views of every picture: the picture, mirrored, and both shifted by up to a tenth."""


def distill(
    calibrated: CalibratedNetwork, pictures: np.ndarray, progress: Progress
) -> CalibratedNetwork:
    """Train an equalized network further.

    Some pictures are held out. The student with the best answers to them is returned, which may be
    the one at the start. So the result is never worse than the start. The same inputs give the same
    result.

    Args:
        calibrated: A network calibrated at level ``equalized``.
        pictures: Calibration pictures, uint8 ``(count, height, width, 3)``, may be a memory map.
            Labels are not needed.
        progress: See ``Progress``.

    Returns:
        The calibrated network with other weights, biases and ranges.
    """
    network = calibrated.network
    held_out, used = hold_out(np.random.default_rng(1).permutation(len(pictures)))
    teacher = teacher_of(network)
    exam = Exam.of(network, teacher, np.asarray(pictures[held_out]))
    forget_pages(pictures)
    lessons = _Lessons(teacher, pictures, used)
    student = Student(network, calibrated.scheme, _loss, RATES)
    best, best_db = calibrated.scheme, exam.sqnr_db(calibrated.scheme)
    first_db, words = best_db, f"at first {best_db:.1f} dB"
    steps, size = DISTILLING_STEPS, batch_size(*pictures.shape[1:3])
    for done, chosen in enumerate(shuffled(lessons.count, size, steps, seed=3), start=1):
        pictures_seen, logits = lessons.give(chosen)
        student.learn(pictures_seen, (logits,), cosine(done - 1, steps))
        if done % CHECK_EVERY == 0 or done == steps:
            scheme = student.scheme()
            reached = exam.sqnr_db(scheme)
            if reached > best_db:
                best, best_db = scheme, reached
            words = f"now {reached:.1f} dB, best {best_db:.1f} dB, at first {first_db:.1f} dB"
        progress("distilling", done, steps, words)
    if math.isnan(best_db):
        raise ModelConversionError(
            "quantization: no simulated answer is finite; the model's weights or the "
            "--preprocessing do not fit; check the float artifacts first"
        )
    return passed(calibrated, best, best_db, exam)


def _loss(answers: Tensor, logits: Tensor) -> Tensor:
    """Return the noise by the signal, where errors in the lead of the best class count more."""
    error = answers - logits
    best = tf.math.top_k(logits, 2).indices
    lead = tf.gather(error, best, batch_dims=1)
    noise = tf.reduce_sum(tf.square(error)) + LEAD * tf.reduce_sum(
        tf.square(lead[:, 0] - lead[:, 1])
    )
    return noise / tf.reduce_sum(tf.square(logits))


class _Lessons:
    """Views of pictures to learn from. The teacher answers a view when it is first used."""

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
