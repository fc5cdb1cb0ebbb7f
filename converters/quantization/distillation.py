"""Level ``distilled``: weights, biases and ranges trained against the float model's logits.

The student is the rounded network as the runtime computes it, the teacher is the float network. No
labels are needed. Gradients pass straight through rounding (Jacob et al. 2018, arXiv:1712.05877),
and ranges are learned as in LSQ (Esser et al. 2020, arXiv:1902.08153). Weights move in units of
their own rounding step, so one learning rate fits every channel of every layer. The training
decides how weights are rounded (as AdaRound does, Nagel et al. 2020, arXiv:2004.10568).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from converters.errors import ModelConversionError
from converters.quantization.answer_metrics import mean_sqnr_db
from converters.quantization.calibrated_network import CalibratedNetwork, Progress
from converters.quantization.integer_simulation import simulate, with_rounded_constants
from converters.quantization.rounding import fake_quantize, fake_quantize_kernel, weight_scales
from converters.quantization.scheme import Scheme, rounded_tensors
from converters.quantization.tensor_range import Range
from converters.quantization.tensorflow_execution import (
    Observe,
    Weights,
    batches,
    centred_logits,
    constant_weights,
    forget_pages,
    run,
)
from converters.quantization.tensorflow_operators import Tensor
from converters.quantization.tflite_network import SAME_VALUES, Operation, Parameters, TfliteNetwork

STEPS = 200
BATCH = 32
"""Pictures in a step at 64x64. Larger pictures make smaller batches, to bound the memory."""

WEIGHT_RATE = 0.003
"""Adam's rate for weights, in rounding steps. With a cosine decay to zero a weight moves at most a
quarter of a step."""

RANGE_RATE = 0.0005
"""Adam's rate for ranges, relative to the range."""

BIAS_RATE = 0.005
"""Adam's rate for biases, in rounding steps of the layer's output."""

LEAD = 4.0
"""Weight of errors in the lead of the best class over the second. Such errors change answers."""

CHECK_EVERY = 50
"""Steps between examinations. More of them would let chance choose."""

HELD_OUT = 0.15
"""Part of the pictures that the student is examined on and does not learn from."""

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
    order = np.random.default_rng(1).permutation(len(pictures))
    held_out = max(1, round(HELD_OUT * len(pictures)))
    teacher = _Teacher(network)
    exam = _Exam.of(teacher, pictures, np.sort(order[:held_out]))
    lessons = _Lessons(
        teacher, pictures, np.sort(order[held_out:] if held_out < len(order) else order)
    )
    student = _Student(network, calibrated.scheme)
    best, best_db = student.scheme(), exam.examine(network, student.scheme())
    first_db, words = best_db, f"at first {best_db:.1f} dB"
    for done, chosen in enumerate(_batches(lessons.count, _batch_size(network)), start=1):
        student.learn(*lessons.give(chosen), _cosine(done - 1))
        if done % CHECK_EVERY == 0 or done == STEPS:
            scheme = student.scheme()
            reached = exam.examine(network, scheme)
            if reached > best_db:
                best, best_db = scheme, reached
            words = f"now {reached:.1f} dB, best {best_db:.1f} dB, at first {first_db:.1f} dB"
        progress("distilling", done, STEPS, words)
    if math.isnan(best_db):
        raise ModelConversionError(
            "quantization: no simulated answer is finite; the model's weights or the "
            "--preprocessing do not fit; check the float artifacts first"
        )
    figures = calibrated.figures
    if figures is not None:
        figures = replace(figures, held_out_sqnr_db=best_db, held_out=held_out)
    return replace(calibrated, scheme=best, figures=figures)


class _Teacher:
    """The float network."""

    def __init__(self, network: TfliteNetwork) -> None:
        self.network = network
        weights = constant_weights(network)
        self._answer = tf.function(
            lambda x: centred_logits(network, run(network, weights, x)),
            autograph=False,
            reduce_retracing=True,
        )

    def answer(self, pictures: Tensor) -> np.ndarray:
        """Centred logits, float32 ``(count, classes)``."""
        logits: np.ndarray = self._answer(pictures).numpy()
        return logits


@dataclass(frozen=True)
class _Exam:
    """Held-out pictures with the teacher's answers."""

    pictures: np.ndarray
    logits: np.ndarray

    @classmethod
    def of(cls, teacher: _Teacher, pictures: np.ndarray, chosen: np.ndarray) -> _Exam:
        held = np.asarray(pictures[chosen])
        forget_pages(pictures)
        answers = [teacher.answer(batch) for batch in batches(teacher.network, held)]
        return cls(held, np.concatenate(answers))

    def examine(self, network: TfliteNetwork, scheme: Scheme) -> float:
        """Return the mean SQNR of the network exactly as it would be written, in decibels."""
        logits = simulate(network, scheme, self.pictures)
        return mean_sqnr_db(self.logits, centred_logits(network, logits).numpy())


class _Lessons:
    """Views of pictures to learn from. The teacher answers a view when it is first used."""

    def __init__(self, teacher: _Teacher, pictures: np.ndarray, chosen: np.ndarray) -> None:
        self._teacher, self._pictures, self._chosen = teacher, pictures, chosen
        self._answers: dict[int, np.ndarray] = {}
        self.count = VIEWS * len(chosen)

    def give(self, views: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return pictures and the teacher's centred logits for them."""
        x = tf.constant(np.stack([self._view(int(view)) for view in views]), tf.float32)
        forget_pages(self._pictures)
        if any(view not in self._answers for view in views):
            self._answers |= zip(views, self._teacher.answer(x), strict=True)
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


def _batches(count: int, size: int) -> Iterator[np.ndarray]:
    """Yield indices for every step: all views in a new order, again and again."""
    rng = np.random.default_rng(3)
    waiting = np.empty(0, np.int64)
    for _ in range(STEPS):
        while len(waiting) < size:
            waiting = np.concatenate([waiting, rng.permutation(count)])
        chosen, waiting = waiting[:size], waiting[size:]
        yield chosen


def _batch_size(network: TfliteNetwork) -> int:
    height, width = network.shapes[network.image][1:3]
    return max(4, min(BATCH, BATCH * 64 * 64 // (height * width)))


def _cosine(step: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * step / STEPS))


class _Student:
    """The rounded network, with its learned parts as variables."""

    def __init__(self, network: TfliteNetwork, scheme: Scheme) -> None:
        self._network = with_rounded_constants(network, scheme.float_operations)
        self._start = scheme
        self._steps: dict[int, Tensor] = {}
        self._moves: dict[int, Tensor] = {}
        self._shifts: dict[int, Tensor] = {}
        self._units: dict[int, float] = {}
        for operation in network.weighted:
            p = scheme.parameters[operation.index]
            grid = scheme.grid_of(network, operation) or scheme.grid
            steps = weight_scales(p.kernel, operation.kind, grid)
            shape = p.kernel.shape[2:] if operation.kind == "DEPTHWISE_CONV_2D" else (-1,)
            self._steps[operation.index] = tf.reshape(steps, shape)
            self._moves[operation.index] = tf.Variable(tf.zeros(p.kernel.shape))
            self._shifts[operation.index] = tf.Variable(tf.zeros(p.bias.shape))
            span = scheme.ranges[operation.output]
            self._units[operation.index] = (span.high - span.low) / 255
        # Pixels are represented exactly; the tensors that only move values follow their inputs.
        learned = rounded_tensors(network, scheme.float_operations) & {
            op.output for op in network.operations if op.kind not in SAME_VALUES
        }
        kernels_seen = _behind_first_kernel(network)
        self._ranges = {
            tensor: tf.Variable(tf.zeros(2))
            for tensor in sorted(learned & kernels_seen)
            if tensor in scheme.ranges
        }
        self._optimizers = tuple(
            tf.keras.optimizers.Adam(rate, beta_2=0.99)
            for rate in (WEIGHT_RATE, BIAS_RATE, RANGE_RATE)
        )
        self._rates = (WEIGHT_RATE, BIAS_RATE, RANGE_RATE)
        self._gradients = tf.function(
            self._compute_gradients, autograph=False, reduce_retracing=True
        )

    def learn(self, pictures: Tensor, logits: Tensor, share: float) -> None:
        """Learn one step, with this share of the learning rates."""
        gradients = self._gradients(pictures, logits)
        for optimizer, rate, slopes, variables in zip(
            self._optimizers, self._rates, gradients, self._variables(), strict=True
        ):
            optimizer.learning_rate = rate * share
            optimizer.apply_gradients(zip(slopes, variables, strict=True))

    def scheme(self) -> Scheme:
        """Return the scheme learned so far."""
        parameters = {
            op.index: Parameters(self._kernel(op).numpy(), self._bias(op).numpy())
            for op in self._network.weighted
        }
        ranges = dict(self._start.ranges)
        for tensor in self._ranges:
            low, high = (float(end) for end in self._ends(tensor))
            ranges[tensor] = Range(low, high)
        for operation in self._network.operations:
            if operation.kind in SAME_VALUES and operation.moved in ranges:
                ranges |= dict.fromkeys(operation.outputs, ranges[operation.moved])
        return replace(self._start, parameters=parameters, ranges=ranges)

    def _variables(self) -> tuple[list[Tensor], ...]:
        parts = (self._moves, self._shifts, self._ranges)
        return tuple(list(part.values()) for part in parts)

    def _kernel(self, operation: Operation) -> Tensor:
        index = operation.index
        return self._start.parameters[index].kernel + self._moves[index] * self._steps[index]

    def _bias(self, operation: Operation) -> Tensor:
        index = operation.index
        return self._start.parameters[index].bias + self._shifts[index] * self._units[index]

    def _ends(self, tensor: int) -> tuple[Tensor, Tensor]:
        """Return the ends of a range. They keep their sign, so zero stays inside."""
        start, move = self._start.ranges[tensor], tf.exp(self._ranges[tensor])
        return start.low * move[0], start.high * move[1]

    def _compute_gradients(self, pictures: Tensor, logits: Tensor) -> tuple[list[Tensor], ...]:
        with tf.GradientTape() as tape:
            weights = {}
            for operation in self._network.weighted:
                kernel = self._kernel(operation)
                grid = self._start.grid_of(self._network, operation)
                if grid is not None:
                    kernel = fake_quantize_kernel(kernel, operation.kind, grid)
                weights[operation.index] = Weights(kernel, self._bias(operation))
            answers = run(self._network, weights, pictures, self._rounding())
            error = centred_logits(self._network, answers) - logits
            best = tf.math.top_k(logits, 2).indices
            lead = tf.gather(error, best, batch_dims=1)
            noise = tf.reduce_sum(tf.square(error)) + LEAD * tf.reduce_sum(
                tf.square(lead[:, 0] - lead[:, 1])
            )
            loss = noise / tf.reduce_sum(tf.square(logits))
        return tuple(tape.gradient(loss, list(self._variables())))

    def _rounding(self) -> Observe:
        tensors = rounded_tensors(self._network, self._start.float_operations)

        def observe(operation: Operation, output: Tensor) -> Tensor:
            tensor = operation.output
            if tensor in self._ranges:
                return fake_quantize(output, *self._ends(tensor))
            if tensor not in tensors or operation.kind in SAME_VALUES:
                return output
            span = self._start.ranges[tensor]
            return fake_quantize(output, span.low, span.high)

        return observe


def _behind_first_kernel(network: TfliteNetwork) -> frozenset[int]:
    """Return the tensors that depend on a kernel. Tensors before the first one are pixels."""
    kernels = {operation.index for operation in network.weighted}
    found: set[int] = set()
    for operation in network.operations:
        if operation.index in kernels or any(t in found for t in operation.inputs):
            found.update(operation.outputs)
    return frozenset(found)
