"""The networks of a search: slimmed, at other input sizes, judged by pictures, and trained."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from converters.compression.compression import Compressible, measure
from converters.compression.courses import Classifier, Course, Labelled, Unlabelled, answers_of
from converters.compression.flat_graph import FlatGraph, read_flat_graph
from converters.compression.head_fit import fit_head
from converters.compression.input_size import at_input_size
from converters.compression.slimmed_training import CHECKS, classifier_of, distill
from converters.compression.slimming import slim
from converters.compression.tied_channels import find_tied_channels
from converters.compression.widths import Widths
from converters.learning.labelled_pictures import LabelledPictures
from converters.learning.schedule import batch_size
from converters.preprocessing import Preprocessing
from resnet_edge.compression.words import size_words
from resnet_edge.display import Advance, Display
from resnet_edge.training.augmentation import variation

Size = tuple[int, int]

FACTORS = (1, 6 / 7, 5 / 7, 4 / 7)
"""Sides to try, as parts of the model's own: 224, 192, 160 and 128, or 64, 56, 48 and 40."""

STEP = 8
"""Sides are multiples of it: networks halve them several times."""

SMALLEST = 16

MOST_FOR_HEAD = 2000
"""Pictures that a head is fitted to at a new size."""

FEWEST_STEPS = 60
"""Fewer teach a network nothing that can be told from noise."""


@dataclass(frozen=True)
class Material:
    """Pictures of a search at one size. None of them is a test picture."""

    lessons: np.ndarray
    """To fit and learn from, uint8 ``(count, height, width, 3)``, balanced in any first part."""
    lesson_labels: np.ndarray | None
    """int ``(count,)``; None where classes are not known."""
    validation: np.ndarray
    """To judge and choose by."""
    validation_labels: np.ndarray | None

    @property
    def is_labelled(self) -> bool:
        """True if classes are known."""
        return self.lesson_labels is not None and self.validation_labels is not None

    def known(self) -> LabelledPictures:
        """Return the lessons with their classes.

        Raises:
            ValueError: Classes are not known.
        """
        if self.lesson_labels is None:
            raise ValueError("lessons without labels")
        return LabelledPictures(self.lessons, self.lesson_labels)

    def judging(self) -> LabelledPictures:
        """Return the validation pictures with their classes.

        Raises:
            ValueError: Classes are not known.
        """
        if self.validation_labels is None:
            raise ValueError("validation pictures without labels")
        return LabelledPictures(self.validation, self.validation_labels)


@dataclass(frozen=True)
class Judgement:
    """How a network answers the validation pictures."""

    change: float
    """See ``Trial.change``."""
    agreement: float


def size_of(model: keras.Model) -> Size:
    """Return height and width of the pictures that a model takes."""
    height, width = model.inputs[0].shape[1:3]
    return height, width


def sizes_to_try(own: Size, asked: tuple[int, ...] | None) -> tuple[Size, ...]:
    """Return the input sizes of a search, the largest first.

    Args:
        own: Height and width of the model's pictures.
        asked: Heights; the width keeps its ratio. None takes ``FACTORS`` of the model's own.
    """
    if asked is not None:
        return tuple(
            (side, _step(side * own[1] / own[0]) if own[0] != own[1] else side) for side in asked
        )
    found = [own]
    for factor in FACTORS[1:]:
        size = (_step(factor * own[0]), _step(factor * own[1]))
        if size not in found and min(size) >= SMALLEST and max(size) < max(own):
            found.append(size)
    return tuple(found)


def _step(side: float) -> int:
    return max(STEP, math.ceil(round(side, 3) / STEP) * STEP)


class Networks:
    """The networks of one search, made when they are asked for.

    Args:
        model: The classifier, with pictures of a fixed size and probabilities. It is not changed.
        preprocessing: What it expects.
        pictures: Decodes the pictures of a size.
        augment: True to vary pictures that are learned from with their labels.
        display: Shows the progress.
        kept: The file that keeps what the channels are worth; see ``measure``.
    """

    def __init__(
        self,
        model: keras.Model,
        preprocessing: Preprocessing,
        pictures: Callable[[Size], Material],
        display: Display,
        *,
        augment: bool,
        kept: Path,
    ) -> None:
        self.model = model
        self.own = size_of(model)
        self._preprocessing, self._pictures, self._display = preprocessing, pictures, display
        self._augment, self._kept = augment, kept
        self._sized: dict[Size, Compressible] = {}

    @cached_property
    def compressible(self) -> Compressible:
        """The model, and what its channels are worth.

        Raises:
            ModelConversionError: No channel can be removed, or see ``measure``.
        """
        with self._display.bar("measuring layers") as advance:
            return measure(
                self.model,
                self._preprocessing,
                self._pictures(self.own).lessons,
                _words_first(advance),
                self._kept,
            )

    @cached_property
    def graph(self) -> FlatGraph:
        """The model's graph."""
        return read_flat_graph(self.model)

    @cached_property
    def teacher(self) -> Classifier:
        """The model on raw pictures."""
        return classifier_of(self.graph, self._preprocessing)

    @cached_property
    def _answers(self) -> np.ndarray:
        return answers_of(self.teacher, self._pictures(self.own).validation)

    def at(self, size: Size) -> Compressible:
        """Return the model for pictures of a size, with a head that is fitted to it.

        Raises:
            ModelConversionError: The model cannot take pictures of this size.
        """
        if size == self.own:
            return self.compressible
        if size not in self._sized:
            self._sized[size] = self._resized(size)
        return self._sized[size]

    def _resized(self, size: Size) -> Compressible:
        graph = read_flat_graph(at_input_size(self.model, *size))
        copied = slim(graph, find_tied_channels(graph), ()).after  # its head may change
        material = self._pictures(size)
        if material.is_labelled:
            known = material.known()
            some = LabelledPictures(known.pictures[:MOST_FOR_HEAD], known.labels[:MOST_FOR_HEAD])
            batch = batch_size(*size)
            changed = fit_head(copied, self._preprocessing, some, material.judging(), batch)
            words = "fitted" if changed else "kept: fitting it brought nothing"
            self._display.say(f"{size_words(size)}: head {words}")
        pictures = np.asarray(material.lessons[:1000], np.float32)
        return self.compressible.at(copied, self._preprocessing.apply(pictures))

    def fitted(self, size: Size, widths: Widths) -> keras.Model:
        """Return the model with fewer channels at a size; it shares no weights with others."""
        source = self.at(size)
        if not widths.removed:
            return slim(source.graph, source.channels, ()).model
        with self._display.bar("fitting") as advance:
            return source.narrowed(widths, _words_first(advance)).model

    def judge(self, model: keras.Model) -> Judgement:
        """Compare a network's answers to the validation pictures with the model's."""
        size = size_of(model)
        material = self._pictures(size)
        found = answers_of(classifier_of(model, self._preprocessing), material.validation)
        ours, theirs = found.argmax(axis=1), self._answers.argmax(axis=1)
        agreement = float((ours == theirs).mean())
        labels = material.validation_labels
        if labels is None:
            return Judgement(agreement - 1, agreement)
        right = float((ours == labels).mean()) - float((theirs == labels).mean())
        return Judgement(right, agreement)

    def learn(self, model: keras.Model, steps: int, seconds: float, unfinished: Path) -> str:
        """Train a slimmed network with the model as its teacher, and with labels where known.

        Args:
            model: It holds the best weights afterwards, never worse ones than before.
            steps: At most so many.
            seconds: About as long as it may take.
            unfinished: Where a training that is cut off goes on, see ``distill``; the number of
                steps is added to its name.

        Returns:
            What was learned, in words; empty where there was no time for it.
        """
        size = size_of(model)
        full = self._pictures(self.own)
        course: Course
        if full.is_labelled:
            vary = variation(0) if self._augment else None
            course = Labelled(self.teacher, full.known(), self._pictures(size).judging(), vary)
            kind = "with labels"
        else:
            course = Unlabelled(self.teacher, full.lessons)
            kind = "without labels"
        begun = sorted(unfinished.parent.glob(f"{unfinished.name}-*.npz"))
        steps = (
            int(begun[0].stem.rpartition("-")[2])
            if begun
            else min(steps, int(seconds / self._seconds_per_step(model, course)))
        )
        if steps < FEWEST_STEPS:
            return ""
        path = unfinished.with_name(f"{unfinished.name}-{steps}.npz")
        with self._display.bar("distilling") as advance:
            done = distill(
                *(model, self._preprocessing, course, steps),
                lambda words, now, total, how: advance(now, total, how),
                path,
            )
        return f"{steps} steps {kind}: {done.first.words} before, {done.best.words} after"

    def _seconds_per_step(self, model: keras.Model, course: Course) -> float:
        """Estimate a step: the student forth and back, the teacher, and the examinations."""
        student = classifier_of(model, self._preprocessing)
        pictures, _ = next(iter(course.lessons(1, 0)))
        times = []
        for network in (student, self.teacher):
            network(pictures)
            started = time.perf_counter()
            network(pictures).numpy()
            times.append(time.perf_counter() - started)
        own, teacher = times
        exam = own * len(self._pictures(self.own).validation) / len(pictures)
        return 3 * own + teacher + exam * CHECKS / 600


def _words_first(advance: Advance) -> Callable[[str, int, int], None]:
    return lambda words, done, total: advance(done, total, words)
