"""What a slimmed network learns from, and the pictures that tell how well it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import tensorflow as tf

from converters.compression.flat_graph import Tensor, in_batches
from converters.learning.labelled_pictures import (
    Augment,
    LabelledPictures,
    cross_entropy_and_top1,
)
from converters.learning.losses import answer_noise, cross_entropies
from converters.learning.memory_maps import forget_pages
from converters.learning.schedule import batch_size, shuffled
from converters.learning.views import Lessons
from converters.quantization.answer_metrics import mean_sqnr_db
from converters.quantization.exam import hold_out

Classifier = Callable[[Tensor], Tensor]
"""From raw RGB, float32 ``(batch, height, width, 3)``, to centred logits, ``(batch, classes)``."""

PIXELS_PER_BATCH = 64 * 64 * 64


@dataclass(frozen=True)
class Mark:
    """How well a network did."""

    score: float
    """More is better."""
    words: str
    top1: float | None = None
    """Share of right answers, in [0, 1], where labels are known."""

    def beats(self, best: Mark, first: Mark) -> bool:
        """True for the best network so far, if it has no more wrong than the one at the start."""
        loses = self.top1 is not None and first.top1 is not None and self.top1 < first.top1
        return self.score > best.score and not loses


class Course(Protocol):
    """Lessons in an order, a loss, and an exam."""

    def loss(self, answers: Tensor, *targets: Tensor) -> Tensor:
        """Return how wrong answers are."""

    def lessons(self, steps: int, done: int) -> Iterator[tuple[Tensor, tuple[Tensor, ...]]]:
        """Yield pictures and targets for every step behind the first ``done``."""

    def examine(self, network: Classifier) -> Mark:
        """Return how well a network does."""


class Unlabelled:
    """The teacher's answers, also to mirrored and shifted pictures; a part is held out.

    Args:
        teacher: The network before slimming.
        pictures: uint8 ``(count, height, width, 3)``, may be a memory map.
    """

    loss = staticmethod(answer_noise)

    def __init__(self, teacher: Classifier, pictures: np.ndarray) -> None:
        held_out, used = hold_out(np.random.default_rng(1).permutation(len(pictures)))
        self._lessons = Lessons(teacher, pictures, used)
        self._size = batch_size(*pictures.shape[1:3])
        self._exam = np.asarray(pictures[held_out])
        self._expected = answers_of(teacher, self._exam)
        forget_pages(pictures)

    def lessons(self, steps: int, done: int) -> Iterator[tuple[Tensor, tuple[Tensor, ...]]]:
        """Yield pictures and the teacher's answers."""
        for step, chosen in enumerate(shuffled(self._lessons.count, self._size, steps, seed=3)):
            if step >= done:
                pictures, logits = self._lessons.give(chosen)
                yield pictures, (logits,)

    def examine(self, network: Classifier) -> Mark:
        """Return the mean ratio of signal to noise on the pictures that are held out."""
        found = mean_sqnr_db(self._expected, answers_of(network, self._exam))
        return Mark(found, f"{found:.1f} dB")


class Labelled:
    """Labels and the teacher's answers to pictures that are varied at random.

    Args:
        teacher: The network before slimming.
        train: Pictures to learn from.
        validation: Pictures that judge.
        augment: Varies the training pictures; None leaves them as they are.
    """

    loss = staticmethod(cross_entropies)

    def __init__(
        self,
        teacher: Classifier,
        train: LabelledPictures,
        validation: LabelledPictures,
        augment: Augment | None = None,
    ) -> None:
        self._teacher, self._train, self._validation = teacher, train, validation
        self._augment = augment
        self._size = batch_size(*train.pictures.shape[1:3])

    def lessons(self, steps: int, done: int) -> Iterator[tuple[Tensor, tuple[Tensor, ...]]]:
        """Yield pictures with the teacher's answers and the labels."""
        known = self._train
        for step, chosen in enumerate(shuffled(len(known.labels), self._size, steps, seed=4)):
            if step < done:
                continue
            order = np.sort(chosen)
            pictures = tf.constant(np.asarray(known.pictures[order], np.float32))
            forget_pages(known.pictures)
            if self._augment is not None:
                pictures = self._augment(pictures, step + 1)
            labels = tf.constant(known.labels[order], tf.int32)
            yield pictures, (self._teacher(pictures), labels)

    def examine(self, network: Classifier) -> Mark:
        """Return the negative cross-entropy with the labels of the validation pictures."""
        known = self._validation
        logits = answers_of(network, known.pictures)
        forget_pages(known.pictures)
        nats, right = cross_entropy_and_top1(logits, known.labels)
        return Mark(-nats, f"{nats:.3f} nats, {right:.1%} right", right)


def answers_of(network: Classifier, pictures: np.ndarray) -> np.ndarray:
    """Return the answers to many pictures, float32 ``(count, classes)``."""
    height, width = pictures.shape[1:3]
    size = max(1, PIXELS_PER_BATCH // int(height * width))
    batches = in_batches(pictures, size)
    return np.concatenate([np.asarray(network(tf.constant(x))) for x in batches])
