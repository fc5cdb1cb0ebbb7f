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
from converters.quantization.picture_pass import (
    Arrays,
    Measure,
    Spread,
    all_of,
    ignore,
    run_here,
)
from converters.quantization.scheme import Scheme
from converters.quantization.tensorflow_execution import (
    Observe,
    Weights,
    batches,
    by_picture,
    channel_means,
    constant_weights,
    pictures_per_batch,
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
    spread: Spread = run_here,
) -> FloatOutputs:
    """Run the float network on pictures.

    Args:
        network: The graph.
        pictures: uint8 ``(count, height, width, 3)``.
        parameters: Its weights in other channel scales; None for its own.
        spread: Runs the pass.
    """
    work = OutputsPass(network, constant_weights(network, parameters))
    (found,) = spread(work, pictures, all_of(pictures), ignore)
    return work.outputs(found)


@dataclass(frozen=True)
class OutputsPass:
    """Values of the float network.

    The statistics are the logits, then the means of each operator with a kernel up to them, one row
    a picture.
    """

    network: TfliteNetwork
    weights: Mapping[int, Weights]
    title: str = "means"

    @property
    def batch(self) -> int:
        """See ``PicturePass``."""
        return pictures_per_batch(self.network)

    @property
    def operations(self) -> tuple[int, ...]:
        """The operators that have means, by index."""
        last = self.network.writers[self.network.logits].index
        indices = (operation.index for operation in self.network.operations)
        return tuple(i for i in indices if i in self.weights and i <= last)

    def open(self) -> Measure:
        """See ``PicturePass``."""

        def measure(pictures: np.ndarray) -> Arrays:
            means: dict[int, np.ndarray] = {}
            batch = tf.constant(pictures.astype(np.float32))
            logits = _weighed(self.network, self.weights, None, batch, means)
            return (logits, *means.values())

        return measure

    def merge(self, first: Arrays, second: Arrays) -> Arrays:
        """See ``PicturePass``."""
        return tuple(np.concatenate(both) for both in zip(first, second, strict=True))

    def outputs(self, found: Arrays) -> FloatOutputs:
        """Return the statistics as a record."""
        logits, *means = found
        return FloatOutputs(dict(zip(self.operations, means, strict=True)), logits)


def measure_rounded_outputs(
    network: TfliteNetwork, scheme: Scheme, pictures: np.ndarray
) -> FloatOutputs:
    """Return the same values of a rounded network, for another rounding of its weights to keep."""
    observe = rounding(network, scheme)
    weights = round_parameters(network, scheme)
    rounded = with_rounded_constants(network, scheme.float_operations)
    means: list[dict[int, np.ndarray]] = []
    logits = []
    for batch in batches(rounded, pictures):
        means.append({})
        logits.append(_weighed(rounded, weights, observe, batch, means[-1]))
    joined = {index: np.concatenate([found[index] for found in means]) for index in means[0]}
    return FloatOutputs(joined, np.concatenate(logits))


def _weighed(
    network: TfliteNetwork,
    weights: Mapping[int, Weights],
    observe: Observe | None,
    batch: Tensor,
    means: dict[int, np.ndarray],
) -> np.ndarray:
    """Return the logits of a batch, and fill in the means of every operator with a kernel."""

    def weigh(operation: Operation, sums: Tensor) -> Tensor:
        means[operation.index] = tf.reduce_mean(by_picture(sums, len(batch)), 1).numpy()
        return sums

    logits: np.ndarray = run(network, weights, batch, observe, weigh).numpy()
    return logits


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
