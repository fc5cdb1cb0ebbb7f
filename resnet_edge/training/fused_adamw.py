"""AdamW with one operation for the update of a variable.

Keras writes some fifty for each variable of a network. Of a ResNet50 those are 9,000 operations,
whose graph takes 25 s of a processor to build, and they pass over the weights a dozen times a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf


class FusedAdamW(keras.optimizers.Adam):  # type: ignore[misc]  # Keras has no types
    """AdamW (https://arxiv.org/abs/1711.05101) by TensorFlow's own kernel.

    Weights follow as those of ``keras.optimizers.AdamW`` do, up to rounding. For one device: under
    a strategy with several replicas the kernel would have to be told which copy of a variable to
    change.
    """

    def __init__(
        self, learning_rate: keras.optimizers.schedules.LearningRateSchedule, decay: float
    ) -> None:
        """Build the optimizer.

        Args:
            learning_rate: The schedule.
            decay: Decoupled weight decay. The variables that ``exclude_from_weight_decay`` names
                have none.
        """
        super().__init__(learning_rate)
        self._decay = decay

    def apply(
        self,
        grads: Sequence[tf.Tensor],
        trainable_variables: Sequence[keras.Variable] | None = None,
    ) -> None:
        """Change the variables by their gradients."""
        step = tf.cast(self.iterations.value + 1, tf.float32)
        self._powers = tf.pow(self.beta_1, step), tf.pow(self.beta_2, step)
        super().apply(grads, trainable_variables)

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Change one variable and its two moments."""
        rate = tf.cast(learning_rate, tf.float32)
        if self._decay and self._use_weight_decay(variable):
            variable.assign(variable * (1 - rate * self._decay))
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self._powers[0],
            beta2_power=self._powers[1],
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )
