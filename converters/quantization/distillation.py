"""Level ``distilled``, after learned rounding: a student trained against the float model's logits.

The teacher is the float network, and no labels are needed. The training decides once more how
weights are rounded (as AdaRound does, Nagel et al. 2020, arXiv:2004.10568), now by the logits and
not by each layer's sums, and learns biases and ranges.
"""

from __future__ import annotations

import math

import numpy as np

from converters.errors import ModelConversionError
from converters.learning.losses import answer_noise
from converters.learning.memory_maps import forget_pages
from converters.learning.schedule import batch_size, cosine, shuffled
from converters.learning.views import Lessons
from converters.quantization.calibrated_network import CalibratedNetwork, Progress
from converters.quantization.exam import Exam, hold_out, passed
from converters.quantization.learning_steps import DISTILLING_STEPS
from converters.quantization.student import Rates, Student, teacher_of

RATES = Rates(weights=0.0015, biases=0.01, ranges=0.001)
"""With a cosine decay to zero a weight moves at most half a step, and a range by a third."""

CHECK_EVERY = 100
"""Steps between examinations. More of them would let chance choose."""


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
    lessons = Lessons(teacher, pictures, used)
    student = Student(network, calibrated.scheme, answer_noise, RATES)
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
