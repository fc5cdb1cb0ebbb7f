"""A slimmed network as a student. Its learning rate is small, because it knows most already."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from converters.compression.flat_graph import FlatCall, FlatGraph, Tensor, has_kernel, is_depthwise
from converters.learning.adam import Adam
from converters.preprocessing import Preprocessing

RATE = 0.0006
"""Adam's learning rate, in units of what a weight's tensor holds or a bias's layer gives. In 300
steps a slimmed ResNet50 gains 0.4 dB with it, nothing with three times as much, and ten times as
much destroys it."""

MEMORY = 0.97
"""Part of the mean of the weights that stays at every step. The weights themselves are worse until
the learning rate has fallen: every step moves all of them, whatever it has learned."""

Loss = Callable[..., Tensor]
"""From the student's centred logits, ``(batch, classes)``, and the targets to a scalar."""


def resized(pictures: Tensor, graph: FlatGraph) -> Tensor:
    """Bring raw pictures to the size that a network takes, float32.

    A teacher may take larger ones than its student. Pixels are averaged where it is smaller.
    """
    size = graph.model.inputs[0].shape[1:3]
    found = tf.cast(pictures, tf.float32)
    same = tuple(found.shape[1:3]) == tuple(size)
    return found if same else tf.image.resize(found, size, antialias=True)


class Student:
    """A network whose kernels, biases, and scales of batch normalizations are learned.

    Batch normalizations use the statistics that they have. Layers learn whether or not they are
    marked as trainable, because a fine-tuned model's are mostly frozen.
    """

    def __init__(
        self, graph: FlatGraph, preprocessing: Preprocessing, loss: Loss, pictures: np.ndarray
    ) -> None:
        self._graph, self._preprocessing, self._loss = graph, preprocessing, loss
        units = _units(graph, preprocessing.apply(resized(pictures, graph).numpy()))
        self._variables = [variable for variable, _ in units]
        self._rates = [RATE * unit for _, unit in units]
        self._optimizers = [Adam([variable]) for variable in self._variables]
        self.means = self.weights
        """Moving means of the learned weights (Polyak and Juditsky 1992)."""
        self._step = tf.function(self._learn, autograph=False, reduce_retracing=True)

    def learn(self, pictures: Tensor, targets: tuple[Tensor, ...], share: float) -> None:
        """Learn one step.

        Args:
            pictures: Raw RGB, float32 ``(batch, height, width, 3)``.
            targets: What the loss compares the answers with.
            share: Share of the learning rate.
        """
        self._step(tf.constant(share, tf.float32), pictures, *targets)
        pairs = zip(self.means, self.weights, strict=True)
        self.means = [MEMORY * mean + (1 - MEMORY) * now for mean, now in pairs]

    @property
    def weights(self) -> list[np.ndarray]:
        """The learned weights."""
        return [variable.numpy() for variable in self._variables]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """Go back to earlier weights.

        Raises:
            ValueError: The weights are of another network.
        """
        for variable, value in zip(self._variables, weights, strict=True):
            variable.assign(value)

    @property
    def state(self) -> dict[str, list[np.ndarray]]:
        """All that another student needs to go on: weights, moments of Adam, learning rates."""
        moments = [one.numpy() for optimizer in self._optimizers for one in optimizer.state]
        return {
            "weights": self.weights,
            "means": self.means,
            "moments": moments,
            "rates": [np.array(self._rates)],
        }

    def resume(self, state: Mapping[str, list[np.ndarray]]) -> None:
        """Go on from the state of a student of the same network, before the first step.

        Raises:
            ValueError: It is of another network.
        """
        self.set_weights(state["weights"])
        moments = [one for optimizer in self._optimizers for one in optimizer.state]
        for variable, value in zip(moments, state["moments"], strict=True):
            variable.assign(value)
        self._rates = state["rates"][0].tolist()
        self.means = state["means"]

    def _learn(self, share: Tensor, pictures: Tensor, *targets: Tensor) -> None:
        with tf.GradientTape() as tape:
            tape.watch(self._variables)
            sized = resized(pictures, self._graph)
            answers = self._graph.logits(self._preprocessing.apply(sized))
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
        elif has_kernel(call) or is_depthwise(call):
            found.append((layer.kernel, _size(layer.kernel)))
            if layer.use_bias:
                found.append((layer.bias, spreads[call]))
    return [(variable.value, max(unit, 1e-12)) for variable, unit in found]


def _size(variable: keras.Variable) -> float:
    return float(np.sqrt(np.square(np.asarray(variable.value, np.float64)).mean()))
