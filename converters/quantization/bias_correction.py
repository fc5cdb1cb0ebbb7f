"""Corrected biases: rounding shifts the means of channels, and a bias takes a shift back."""

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
    Tensor,
    batches,
    channel_means,
    constant_weights,
    run,
)
from converters.quantization.tflite_network import (
    Operation,
    Parameters,
    TfliteNetwork,
)


@dataclass(frozen=True)
class FloatOutputs:
    """What the float network computes for a sample of pictures, which rounding shall not move."""

    means: Mapping[int, np.ndarray]
    """Of every picture's output channels, before the fused activation, by index of the operator
    with a kernel; float32 ``(pictures, outputs)``."""
    logits: np.ndarray
    """float32 ``(pictures, classes)``."""

    def scaled(self, output_scales: Mapping[int, np.ndarray]) -> FloatOutputs:
        """That of the network whose output channels were divided by these scales.

        Args:
            output_scales: See ``converters.quantization.equalization.Equalized``.
        """
        means = {
            index: (found / output_scales.get(index, 1.0)).astype(np.float32)
            for index, found in self.means.items()
        }
        return FloatOutputs(means, self.logits)


def measure_float_outputs(network: TfliteNetwork, pictures: np.ndarray) -> FloatOutputs:
    """Run the float network on pictures, uint8 ``(count, height, width, 3)``."""
    means: dict[int, list[np.ndarray]] = {}

    def weigh(operation: Operation, sums: Tensor) -> Tensor:
        found = tf.reduce_mean(sums, list(range(1, len(sums.shape) - 1)))
        means.setdefault(operation.index, []).append(found.numpy())
        return sums

    weights = constant_weights(network)
    logits = [
        run(network, weights, batch, weigh=weigh).numpy() for batch in batches(network, pictures)
    ]
    joined = {index: np.concatenate(parts) for index, parts in means.items()}
    return FloatOutputs(joined, np.concatenate(logits))


def correct_biases(
    network: TfliteNetwork,
    scheme: Scheme,
    float_outputs: FloatOutputs,
    pictures: np.ndarray,
    held_out: int = 0,
    activation_bits: int = 8,
) -> tuple[Scheme, np.ndarray]:
    """Take the mean error of every output channel back by its bias, layer after layer.

    Rounding and clipping shift means, and a shift grows through the layers behind it. Every layer
    with a kernel gets the bias that gives its channels the float network's means before the next
    one is computed (Nagel et al. 2019, arXiv:1906.04721, section 4.2, but in sequence, so that no
    error is corrected twice).

    Args:
        network: The graph.
        scheme: Its weights, ranges and float operators.
        float_outputs: Of the float network for the same pictures, in the scheme's channel scales.
        pictures: uint8 ``(count, height, width, 3)``; all are in memory at once, so keep to
            ``converters.quantization.tensorflow_execution.PIXELS_PER_BATCH`` or a few times that.
        held_out: The last so many pictures are computed, but no bias is fitted to them.
        activation_bits: 8, or 16, which loses nothing that matters: activations are not rounded.

    Returns:
        The scheme with other biases, and the rounded network's logits for ``pictures``.
    """
    parameters = dict(scheme.parameters)
    fitted = len(pictures) - held_out

    def weigh(operation: Operation, sums: Tensor) -> Tensor:
        expected = float_outputs.means[operation.index][:fitted].mean(axis=0)
        shift = tf.constant(expected) - channel_means(sums[:fitted])
        p = parameters[operation.index]
        parameters[operation.index] = Parameters(p.kernel, p.bias + shift.numpy())
        return sums + shift

    logits = run(
        with_rounded_constants(network, scheme.float_operations),
        round_parameters(network, scheme),
        tf.constant(np.asarray(pictures, np.float32)),
        rounding(network, scheme) if activation_bits == 8 else None,
        weigh,
    )
    return replace(scheme, parameters=parameters), logits.numpy()
