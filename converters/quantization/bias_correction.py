"""Bias correction: rounding shifts the mean of a channel, and its bias takes the shift back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from converters.quantization.integer_simulation import (
    round_parameters,
    rounding,
    with_rounded_constants,
)
from converters.quantization.scheme import Scheme
from converters.quantization.tensorflow_execution import (
    Observe,
    Weights,
    batches,
    by_picture,
    channel_means,
    constant_weights,
    run,
)
from converters.quantization.tensorflow_operators import Tensor
from converters.quantization.tflite_network import (
    Operation,
    Parameters,
    TfliteNetwork,
)


@dataclass(frozen=True)
class FloatOutputs:
    """Values of the float network on a sample of pictures, which rounding should keep."""

    means: Mapping[int, np.ndarray]
    """Means of the output channels of every operator with a kernel, before the fused activation, by
    index of the operator; float32 ``(pictures, outputs)``."""
    logits: np.ndarray
    """float32 ``(pictures, classes)``."""

    def scaled(self, output_scales: Mapping[int, np.ndarray]) -> FloatOutputs:
        """Return the values of the network whose output channels are divided by these scales.

        Args:
            output_scales: See ``converters.quantization.equalization.Equalized``.
        """
        means = {
            index: (found / output_scales.get(index, 1.0)).astype(np.float32)
            for index, found in self.means.items()
        }
        return FloatOutputs(means, self.logits)


def measure_float_outputs(
    network: TfliteNetwork,
    pictures: np.ndarray,
    parameters: Mapping[int, Parameters] | None = None,
) -> FloatOutputs:
    """Run the float network on pictures.

    Args:
        network: The graph.
        pictures: uint8 ``(count, height, width, 3)``.
        parameters: Its weights in other channel scales; None for its own.
    """
    return _outputs(network, constant_weights(network, parameters), None, pictures)


def measure_rounded_outputs(
    network: TfliteNetwork, scheme: Scheme, pictures: np.ndarray
) -> FloatOutputs:
    """Return the same values of a rounded network, for another rounding of its weights to keep."""
    observe = rounding(network, scheme)
    weights = round_parameters(network, scheme)
    rounded = with_rounded_constants(network, scheme.float_operations)
    return _outputs(rounded, weights, observe, pictures)


def _outputs(
    network: TfliteNetwork,
    weights: Mapping[int, Weights],
    observe: Observe | None,
    pictures: np.ndarray,
) -> FloatOutputs:
    means: dict[int, list[np.ndarray]] = {}
    logits = []

    def weigh(operation: Operation, sums: Tensor) -> Tensor:
        found = tf.reduce_mean(by_picture(sums, count), 1)
        means.setdefault(operation.index, []).append(found.numpy())
        return sums

    for batch in batches(network, pictures):
        count = len(batch)
        logits.append(run(network, weights, batch, observe, weigh).numpy())
    joined = {index: np.concatenate(parts) for index, parts in means.items()}
    return FloatOutputs(joined, np.concatenate(logits))


def correct_biases(
    network: TfliteNetwork,
    scheme: Scheme,
    float_outputs: FloatOutputs,
    pictures: np.ndarray,
    activation_bits: int = 8,
) -> Scheme:
    """Correct the mean error of every output channel by its bias, layer after layer.

    Rounding and clipping shift means, and shifts grow from layer to layer. Each layer with a kernel
    gets the bias that gives its channels the float network's means, before the next layer is
    computed. So no error is corrected twice (Nagel et al. 2019, arXiv:1906.04721, section 4.2,
    corrects all layers at once).

    Args:
        network: The graph.
        scheme: Weights, ranges and float operators.
        float_outputs: Of the float network for the same pictures, in the scheme's channel scales;
            more pictures may follow.
        pictures: uint8 ``(count, height, width, 3)``. All are in memory at once: keep to a few
            times ``converters.quantization.tensorflow_execution.PIXELS_PER_BATCH``.
        activation_bits: 8, or 16, where activations and constants of sums and products are not
            rounded: 16 bits lose too little to matter.

    Returns:
        The scheme with other biases.
    """
    parameters = dict(scheme.parameters)
    count = len(pictures)

    def weigh(operation: Operation, sums: Tensor) -> Tensor:
        expected = float_outputs.means[operation.index][:count].mean(axis=0)
        shift = tf.constant(expected) - channel_means(by_picture(sums, count))
        p = parameters[operation.index]
        parameters[operation.index] = Parameters(p.kernel, p.bias + shift.numpy())
        return sums + shift

    if activation_bits == 8:
        observe = rounding(network, scheme)
        network = with_rounded_constants(network, scheme.float_operations)
    else:
        observe = None
    run(
        network,
        round_parameters(network, scheme, activation_bits),
        tf.constant(np.asarray(pictures, np.float32)),
        observe,
        weigh,
    )
    return replace(scheme, parameters=parameters)
