"""A rounded network that learns: its weights, biases and ranges are variables.

It computes what the runtime does. Gradients pass straight through rounding (Jacob et al. 2018,
arXiv:1712.05877), and ranges are learned as in LSQ (Esser et al. 2020, arXiv:1902.08153). Weights
move in units of their own rounding step, so one learning rate fits every channel of every layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from converters.learning.adam import Adam
from converters.quantization.integer_simulation import with_rounded_constants
from converters.quantization.rounding import fake_quantize, fake_quantize_kernel, kernel_steps
from converters.quantization.scheme import Scheme, rounded_tensors
from converters.quantization.tensor_range import Range
from converters.quantization.tensorflow_execution import (
    Observe,
    Weights,
    centred_logits,
    constant_weights,
    run,
)
from converters.quantization.tensorflow_operators import Tensor
from converters.quantization.tflite_network import SAME_VALUES, Operation, Parameters, TfliteNetwork

Loss = Callable[..., Tensor]
"""From the student's centred logits, ``(batch, classes)``, and the targets to a scalar."""


@dataclass(frozen=True)
class Rates:
    """Adam's learning rates."""

    weights: float
    """In rounding steps."""
    biases: float
    """In rounding steps of the layer's output."""
    ranges: float
    """Relative to the range."""


class Student:
    """The rounded network, with its learned parts as variables."""

    def __init__(self, network: TfliteNetwork, scheme: Scheme, loss: Loss, rates: Rates) -> None:
        self._network = with_rounded_constants(network, scheme.float_operations)
        self._start = scheme
        self._steps: dict[int, Tensor] = {}
        self._moves: dict[int, Tensor] = {}
        self._shifts: dict[int, Tensor] = {}
        self._units: dict[int, float] = {}
        for operation in network.weighted:
            p = scheme.parameters[operation.index]
            grid = scheme.grid_of(network, operation) or scheme.grid
            self._steps[operation.index] = kernel_steps(p.kernel, operation.kind, grid)
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
        self._loss = loss
        parts = (self._moves, self._shifts, self._ranges)
        each = (rates.weights, rates.biases, rates.ranges)
        self._learned = tuple(
            (rate, variables, Adam(variables))
            for rate, variables in zip(each, map(list, map(dict.values, parts)), strict=True)
        )
        self._step = tf.function(self._learn, autograph=False, reduce_retracing=True)

    def learn(self, pictures: Tensor, targets: tuple[Tensor, ...], share: float) -> None:
        """Learn one step.

        Args:
            pictures: float32 ``(batch, height, width, 3)``.
            targets: What the loss compares the answers with.
            share: Share of the learning rates.
        """
        self._step(tf.constant(share, tf.float32), pictures, *targets)

    @property
    def state(self) -> tuple[np.ndarray, ...]:
        """All that it has learned and remembers, from which another student can go on."""
        return tuple(variable.numpy() for variable in self._state)

    def resume(self, state: tuple[np.ndarray, ...]) -> None:
        """Go on from the state of a student of the same network.

        Raises:
            ValueError: It is of another network.
        """
        for variable, value in zip(self._state, state, strict=True):
            variable.assign(value)

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

    @property
    def _state(self) -> list[tf.Variable]:
        return [
            variable
            for _, variables, optimizer in self._learned
            for variable in (*variables, *optimizer.state)
        ]

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

    def _learn(self, share: Tensor, pictures: Tensor, *targets: Tensor) -> None:
        with tf.GradientTape() as tape:
            weights = {}
            for operation in self._network.weighted:
                kernel = self._kernel(operation)
                grid = self._start.grid_of(self._network, operation)
                if grid is not None:
                    kernel = fake_quantize_kernel(kernel, operation.kind, grid)
                weights[operation.index] = Weights(kernel, self._bias(operation))
            answers = run(self._network, weights, pictures, self._rounding())
            loss = self._loss(centred_logits(self._network, answers), *targets)
        slopes = tape.gradient(loss, [variables for _, variables, _ in self._learned])
        for (rate, _, optimizer), own in zip(self._learned, slopes, strict=True):
            optimizer.apply(own, rate * share)

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


def teacher_of(network: TfliteNetwork) -> Callable[[Tensor], Tensor]:
    """Return the float network, which answers with centred logits, ``(batch, classes)``."""
    weights = constant_weights(network)
    return tf.function(  # type: ignore[no-any-return]
        lambda pictures: centred_logits(network, run(network, weights, pictures)),
        autograph=False,
        reduce_retracing=True,
    )
