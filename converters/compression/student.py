"""A slimmed network that learns, gently: what it holds is good already."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from converters.compression.flat_graph import FlatCall, FlatGraph, Tensor, has_kernel
from converters.learning.adam import Adam
from converters.preprocessing import Preprocessing

RATE = 0.002
"""Adam's learning rate, in units of what a weight's tensor holds or a bias's layer gives. Ten
times as much destroys a network before it learns."""

Loss = Callable[..., Tensor]
"""From the student's centred logits, ``(batch, classes)``, and the targets to a scalar."""


class Student:
    """A network whose kernels, biases, and scales of batch normalizations are learned.

    Batch normalizations use the statistics that they have. Layers learn whether or not they are
    marked as trainable, because a fine-tuned model's are mostly frozen.
    """

    def __init__(
        self, graph: FlatGraph, preprocessing: Preprocessing, loss: Loss, pictures: np.ndarray
    ) -> None:
        self._graph, self._preprocessing, self._loss = graph, preprocessing, loss
        units = _units(graph, preprocessing.apply(pictures.astype(np.float32)))
        self._variables = [variable for variable, _ in units]
        self._rates = [RATE * unit for _, unit in units]
        self._optimizers = [Adam([variable]) for variable in self._variables]
        self._step = tf.function(self._learn, autograph=False, reduce_retracing=True)

    def learn(self, pictures: Tensor, targets: tuple[Tensor, ...], share: float) -> None:
        """Learn one step.

        Args:
            pictures: Raw RGB, float32 ``(batch, height, width, 3)``.
            targets: What the loss compares the answers with.
            share: Share of the learning rate.
        """
        self._step(tf.constant(share, tf.float32), pictures, *targets)

    @property
    def weights(self) -> list[np.ndarray]:
        """What it has learned."""
        return [variable.numpy() for variable in self._variables]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """Go back to what it had learned.

        Raises:
            ValueError: The weights are of another network.
        """
        for variable, value in zip(self._variables, weights, strict=True):
            variable.assign(value)

    @property
    def moments(self) -> list[np.ndarray]:
        """What its optimizers remember."""
        return [one.numpy() for optimizer in self._optimizers for one in optimizer.state]

    def resume(self, weights: list[np.ndarray], moments: list[np.ndarray]) -> None:
        """Go on from the weights and moments of a student of the same network."""
        self.set_weights(weights)
        remembered = [one for optimizer in self._optimizers for one in optimizer.state]
        for variable, value in zip(remembered, moments, strict=True):
            variable.assign(value)

    def _learn(self, share: Tensor, pictures: Tensor, *targets: Tensor) -> None:
        with tf.GradientTape() as tape:
            tape.watch(self._variables)
            answers = self._graph.logits(self._preprocessing.apply(pictures))
            loss = self._loss(answers, *targets)
        slopes = tape.gradient(loss, self._variables)
        for optimizer, slope, rate in zip(self._optimizers, slopes, self._rates, strict=True):
            optimizer.apply([slope], share * rate)


def _units(graph: FlatGraph, pictures: np.ndarray) -> list[tuple[tf.Variable, float]]:
    """Return every variable that learns, with the size of what it holds or what it is added to."""
    spreads: dict[FlatCall, float] = {}

    def spread(call: FlatCall, _: list[Tensor], sums: Tensor) -> None:
        spreads[call] = float(keras.ops.std(sums))

    graph.logits(tf.constant(pictures), spread)
    found = []
    for call in graph.calls:
        layer = call.layer
        if not call.is_only:
            continue
        if isinstance(layer, layers.BatchNormalization):
            size = _size(layer.gamma) if layer.scale else spreads[call]
            scales = [layer.gamma] if layer.scale else []
            found += [(one, size) for one in (*scales, *([layer.beta] if layer.center else []))]
        elif has_kernel(call) or isinstance(layer, layers.DepthwiseConv2D):
            found.append((layer.kernel, _size(layer.kernel)))
            if layer.use_bias:
                found.append((layer.bias, spreads[call]))
    return [(variable.value, max(unit, 1e-12)) for variable, unit in found]


def _size(variable: keras.Variable) -> float:
    return float(np.sqrt(np.square(np.asarray(variable.value, np.float64)).mean()))
