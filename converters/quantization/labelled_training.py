"""Level ``trained``: the rounded network learns from labels and from the float model.

Quantization-aware training (Jacob et al. 2018, arXiv:1712.05877) with a teacher (Hinton et al.
2015, arXiv:1503.02531; for quantized students Polino et al. 2018, arXiv:1802.05668). The student is
what the runtime computes, with batch normalization folded, and starts where learned rounding ends.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from converters.learning.labelled_pictures import (
    Augment,
    LabelledPictures,
    cross_entropy_and_top1,
)
from converters.learning.losses import cross_entropies
from converters.learning.memory_maps import forget_pages
from converters.learning.schedule import batch_size, cosine, shuffled
from converters.quantization.bias_correction import measure_rounded_outputs
from converters.quantization.calibrated_network import (
    CalibratedNetwork,
    Examined,
    Progress,
    TrainingFigures,
)
from converters.quantization.calibration_sample import sample_pictures
from converters.quantization.integer_simulation import simulate
from converters.quantization.learning_steps import training_steps
from converters.quantization.scheme import Scheme
from converters.quantization.student import Rates, Student, teacher_of
from converters.quantization.tensorflow_execution import centred_logits
from converters.quantization.tensorflow_operators import Tensor
from converters.quantization.tflite_network import TfliteNetwork
from converters.quantization.unfinished_training import State, UnfinishedTraining


@dataclass(frozen=True)
class Phase:
    """A part of the steps, with a decay of its own. Each begins at the network's start."""

    share: float
    rates: Rates


PHASES = (
    Phase(0.25, Rates(weights=0.01, biases=0.005, ranges=0.0005)),
    Phase(0.75, Rates(weights=0.1, biases=0.05, ranges=0.002)),
)
"""The gentle one mends what rounding broke. The bold one moves weights as far as fine-tuning does:
where only a head was trained, the layers before it have much to learn, and it gains points; a
network that was trained through forgets, and keeps what the gentle one found."""

CHECKS = 10
"""Examinations on the validation pictures. More of them would let chance choose."""


@dataclass(frozen=True)
class Course:
    """What a network is trained with."""

    lessons: LabelledPictures
    """The training pictures."""
    validation: LabelledPictures
    """Pictures that choose the best student and teach nothing."""
    augment: Augment | None = None
    """Varies the training pictures; None leaves them as they are."""
    unfinished: UnfinishedTraining | None = None
    """The place where a training is kept at every examination, and from which it goes on."""

    def __post_init__(self) -> None:
        if not len(self.lessons.labels) or not len(self.validation.labels):
            raise ValueError("a course without training or without validation pictures")


def train(
    calibrated: CalibratedNetwork, pictures: np.ndarray, course: Course, progress: Progress
) -> CalibratedNetwork:
    """Train a rounded network with labels.

    Args:
        calibrated: A network with learned rounding.
        pictures: Its calibration pictures, uint8 ``(count, height, width, 3)``.
        course: The pictures with labels.
        progress: See ``Progress``.

    Returns:
        The student with the lowest cross-entropy on the validation pictures of those that have no
        more of them wrong than the start; the start itself where there is none.
    """
    network, validation = calibrated.network, course.validation
    state = _learn(calibrated, course, progress)
    sample = sample_pictures(network, pictures).pictures
    return replace(
        calibrated,
        scheme=state.best,
        training=TrainingFigures(state.first, state.best_found, len(validation.labels)),
        trained_outputs=measure_rounded_outputs(network, state.best, sample),
    )


def _learn(calibrated: CalibratedNetwork, course: Course, progress: Progress) -> State:
    """Return the training after its last step."""
    network, lessons, start = calibrated.network, course.lessons, calibrated.scheme
    teacher, size = teacher_of(network), batch_size(*lessons.pictures.shape[1:3])
    steps = training_steps(len(lessons.labels), size)
    state, learned = _begin(network, start, course)
    words = _words(state)
    if state.done:
        words = f"resumed after step {state.done}; {words}"
        progress("training", state.done, steps, words)
    order = itertools.islice(shuffled(len(lessons.labels), size, steps, seed=4), state.done, None)
    for first, last, rates in _phases(steps):
        if state.done >= last:
            continue
        student = Student(network, start, cross_entropies, rates)
        if state.done > first:
            student.resume(learned)
        for done in range(state.done + 1, last + 1):
            pictures, labels = _lesson(lessons, np.sort(next(order)))
            if course.augment is not None:
                pictures = course.augment(pictures, done)
            share = cosine(done - 1 - first, last - first)
            student.learn(pictures, (teacher(pictures), labels), share)
            if done == last or done % max(1, steps // CHECKS) == 0:
                state = _examined(state, student.scheme(), network, course.validation, done)
                words = _words(state)
                if course.unfinished is not None:
                    course.unfinished.keep(state, student.state)
            progress("training", done, steps, words)
    return state


def _phases(steps: int) -> Iterator[tuple[int, int, Rates]]:
    """Yield the steps before every phase, those at its end, and its rates."""
    first, share = 0, 0.0
    for phase in PHASES:
        share += phase.share
        last = round(share * steps)
        yield first, last, phase.rates
        first = last


def _begin(
    network: TfliteNetwork, start: Scheme, course: Course
) -> tuple[State, tuple[np.ndarray, ...]]:
    """Return the state that was kept, and its student's, or that at the start."""
    kept = None if course.unfinished is None else course.unfinished.state(start)
    if kept is not None:
        return kept
    found = examine(network, start, course.validation)
    return State(0, start, found, found), ()


def _examined(
    state: State, scheme: Scheme, network: TfliteNetwork, validation: LabelledPictures, done: int
) -> State:
    """Return the state after some more steps, with the student as the best one if it is."""
    found = examine(network, scheme, validation)
    is_better = found.cross_entropy < state.best_found.cross_entropy
    if is_better and found.top1 >= state.first.top1:
        state = replace(state, best=scheme, best_found=found)
    return replace(state, done=done)


def _lesson(lessons: LabelledPictures, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
    pictures = np.asarray(lessons.pictures[chosen], np.float32)
    forget_pages(lessons.pictures)
    return tf.constant(pictures), tf.constant(lessons.labels[chosen], tf.int32)


def examine(network: TfliteNetwork, scheme: Scheme, known: LabelledPictures) -> Examined:
    """Return how well a network, as it would be written, answers pictures of known classes."""
    logits = simulate(network, scheme, known.pictures)
    centred = centred_logits(network, logits).numpy()
    return Examined(*cross_entropy_and_top1(centred, known.labels))


def _words(state: State) -> str:
    first, best = state.first, state.best_found
    return (
        f"best {best.cross_entropy:.3f} nats, {best.top1:.1%} right; "
        f"at first {first.cross_entropy:.3f} nats, {first.top1:.1%} right"
    )
