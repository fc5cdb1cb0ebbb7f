"""Training a slimmed network with the network before as its teacher, with labels or without."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from converters.array_file import read_arrays, write_arrays
from converters.compression.courses import Classifier, Course, Mark
from converters.compression.flat_graph import FlatGraph, Tensor, read_flat_graph
from converters.compression.student import Student, resized
from converters.errors import IntermediateFileError, ModelConversionError
from converters.learning.schedule import cosine
from converters.preprocessing import Preprocessing

CHECKS = 10
"""Examinations. More of them would let chance choose."""

Progress = Callable[[str, int, int, str], None]
"""Gets the stage, steps done, all steps and how it goes."""


@dataclass(frozen=True)
class Distilled:
    """How a training went. The model itself holds what it learned."""

    first: Mark
    best: Mark


def classifier_of(model: keras.Model | FlatGraph, preprocessing: Preprocessing) -> Classifier:
    """Return what answers raw pictures of any size with a model's centred logits."""
    graph = model if isinstance(model, FlatGraph) else read_flat_graph(model)

    def answer(pictures: Tensor) -> Tensor:
        return graph.logits(preprocessing.apply(resized(pictures, graph)))

    return tf.function(answer, autograph=False, reduce_retracing=True)  # type: ignore[no-any-return]


def distill(
    model: keras.Model,
    preprocessing: Preprocessing,
    course: Course,
    steps: int,
    progress: Progress,
    unfinished: Path | None = None,
) -> Distilled:
    """Train a slimmed model. It holds the best weights afterwards, which may be those at the start.

    The same inputs give the same weights, also if the training was cut off in between.

    Args:
        model: Functional or Sequential. Its weights change.
        preprocessing: What the model expects.
        course: What it learns from.
        steps: Steps of the training, at least 1.
        progress: See ``Progress``.
        unfinished: A file where the training is kept at every examination, and from which it goes
            on. Its name has to tell trainings apart. It is removed at the end.

    Raises:
        IntermediateFileError: ``unfinished`` is damaged.
        ModelConversionError: The model's answers are not finite.
    """
    graph = read_flat_graph(model)
    network = classifier_of(graph, preprocessing)
    lessons = course.lessons(steps, 0)
    sample, _ = next(lessons)
    student = Student(graph, preprocessing, course.loss, sample.numpy())
    first = course.examine(network)
    if not math.isfinite(first.score):
        raise ModelConversionError(
            "distillation: some answers of the slimmed model are not finite; check its weights and "
            "the preprocessing"
        )
    state = _State(steps, 0, first, first, student.weights)
    if unfinished is not None and unfinished.exists():
        state = _resume(unfinished, student, steps)
        first = state.first
        progress("distilling", state.done, steps, f"resumed after step {state.done}")
    for done, (pictures, targets) in enumerate(
        course.lessons(steps, state.done), start=state.done + 1
    ):
        student.learn(pictures, targets, cosine(done - 1, steps))
        if done == steps or done % max(1, steps // CHECKS) == 0:
            now = student.weights
            student.set_weights(student.means)
            mark = course.examine(network)
            student.set_weights(now)
            state = replace(state, done=done)
            if mark.beats(state.mark, first):
                state = replace(state, mark=mark, best=student.means)
            if unfinished is not None:
                _keep(unfinished, state, student)
        progress("distilling", done, steps, f"best {state.mark.words}; at first {first.words}")
    student.set_weights(state.best)
    if unfinished is not None:
        unfinished.unlink(missing_ok=True)
    return Distilled(first, state.mark)


@dataclass(frozen=True)
class _State:
    """A training after some of its steps."""

    steps: int
    """All of them."""
    done: int
    first: Mark
    mark: Mark
    """Of the best weights."""
    best: list[np.ndarray]


def _keep(path: Path, state: _State, student: Student) -> None:
    parts = {"best": state.best, **student.state}
    arrays = {f"{name}_{n}": one for name, part in parts.items() for n, one in enumerate(part)}
    record = {
        "sizes": {name: len(part) for name, part in parts.items()},
        "steps": state.steps,
        "done": state.done,
        "first": asdict(state.first),
        "mark": asdict(state.mark),
    }
    write_arrays(path, arrays, record)


def _resume(path: Path, student: Student, steps: int) -> _State:
    try:
        arrays, record = read_arrays(path)
        parts = {
            name: [arrays[f"{name}_{n}"] for n in range(size)]
            for name, size in record["sizes"].items()
        }
        best = parts.pop("best")
        if record["steps"] != steps:
            raise ValueError(f"it is of {record['steps']} steps, not of {steps}")
        student.resume(parts)
    except Exception as problem:  # a damaged file leads zipfile and NumPy to any
        raise IntermediateFileError(
            f"{path}: cannot go on with this unfinished training ({problem}); remove it and run "
            "again"
        ) from problem
    return _State(steps, record["done"], Mark(**record["first"]), Mark(**record["mark"]), best)
