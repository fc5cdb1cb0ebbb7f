"""Adam with one operation for the update of a variable.

Keras' Adam passes over the weights a dozen times a step, which takes as long as the gradients of a
ResNet50 at 64x64.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from converters.quantization.tensorflow_operators import Tensor

FIRST, SECOND, EPSILON = 0.9, 0.99, 1e-7
"""Decay of both moments, and what is added to the root of the second."""


class Adam:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980) by TensorFlow's own kernel."""

    def __init__(self, variables: Sequence[tf.Variable]) -> None:
        self._variables = tuple(variables)
        self._moments = tuple(
            (tf.Variable(tf.zeros_like(one)), tf.Variable(tf.zeros_like(one)))
            for one in self._variables
        )
        self._steps = tf.Variable(0.0)

    @property
    def state(self) -> tuple[tf.Variable, ...]:
        """All that it remembers, without the variables that it changes."""
        return (self._steps, *(moment for both in self._moments for moment in both))

    def apply(self, gradients: Sequence[Tensor], rate: Tensor) -> None:
        """Change every variable by its gradient.

        Args:
            gradients: One per variable; None leaves a variable as it is.
            rate: The learning rate, a float32 scalar.
        """
        step = self._steps.assign_add(1.0)
        powers = tf.pow(FIRST, step), tf.pow(SECOND, step)
        for variable, (first, second), gradient in zip(
            self._variables, self._moments, gradients, strict=True
        ):
            if gradient is None:
                continue
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=first.handle,
                v=second.handle,
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=rate,
                beta1=FIRST,
                beta2=SECOND,
                epsilon=EPSILON,
                grad=gradient,
            )
