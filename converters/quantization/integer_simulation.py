"""A network as an integer runtime computes it, simulated in float.

LiteRT and onnxruntime round the output of every operator, after its fused activation, to 8 bits,
and sum products exactly in 32 bits between: rounding the same tensors of the float graph gives the
same answers up to the last bit of a step.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from converters.quantization.rounding import (
    fake_quantize,
    round_weights,
    weight_scales,
    widened,
)
from converters.quantization.settings import WeightGrid
from converters.quantization.tensor_range import Range
from converters.quantization.tensorflow_execution import (
    Observe,
    Tensor,
    Weights,
    batches,
    channel_means,
    constant_weights,
    run,
)
from converters.quantization.tflite_network import (
    ELEMENTWISE,
    SAME_VALUES,
    Operation,
    Parameters,
    TfliteNetwork,
)


@dataclass(frozen=True)
class Scheme:
    """What is rounded and how: weights, and a range for every rounded tensor."""

    parameters: Mapping[int, Parameters]
    """By operator index; not rounded."""
    ranges: Mapping[int, Range]
    """By tensor index."""
    float_operations: frozenset[int]
    """Operators that compute in float, by index."""
    grid: WeightGrid = WeightGrid.FULL
    """What weights are rounded to, but those of the float head, which is always ``FULL``."""

    def grid_of(self, network: TfliteNetwork, operation: Operation) -> WeightGrid | None:
        """What an operator's kernel is rounded to; None where it stays as it is."""
        if operation.index in network.head:
            return WeightGrid.FULL
        return None if operation.index in self.float_operations else self.grid


def rounded_tensors(network: TfliteNetwork, float_operations: Collection[int]) -> frozenset[int]:
    """Tensors that an integer operator reads or writes."""
    return frozenset(
        tensor
        for operation in network.operations
        if operation.index not in float_operations
        for tensor in (*operation.inputs, *operation.outputs)
        if tensor >= 0 and tensor not in network.constants
    )


def round_parameters(network: TfliteNetwork, scheme: Scheme) -> dict[int, Weights]:
    """Rounded kernels, and biases as they are: 32 bits lose nothing that matters."""
    rounded = {}
    for operation in network.weighted:
        p = scheme.parameters[operation.index]
        kernel, grid = tf.constant(p.kernel), scheme.grid_of(network, operation)
        if grid is not None:
            scales = weight_scales(kernel, operation.kind, grid)
            kernel = round_weights(kernel, operation.kind, scales)
        rounded[operation.index] = Weights(kernel, tf.constant(p.bias))
    return rounded


def with_rounded_constants(
    network: TfliteNetwork, float_operations: Collection[int]
) -> TfliteNetwork:
    """The network with the constants of integer sums and products as a runtime holds them.

    A mean that preprocessing subtracts is rounded to 8 bits too, and by up to a quarter of a level
    wrong, which biases behind it can make good once it is known.
    """
    constants = dict(network.constants)
    for operation in network.operations:
        if operation.kind in ELEMENTWISE and operation.index not in float_operations:
            for tensor in operation.inputs:
                if tensor in constants:
                    values = constants[tensor]
                    span = widened(Range(float(values.min()), float(values.max())))
                    constants[tensor] = fake_quantize(values, span.low, span.high).numpy()
    return replace(network, constants=constants)


def rounding(network: TfliteNetwork, scheme: Scheme) -> Observe:
    """The function that rounds every operator's output as the runtime would."""
    tensors = rounded_tensors(network, scheme.float_operations)

    def observe(operation: Operation, output: Tensor) -> Tensor:
        if operation.output not in tensors or operation.kind in SAME_VALUES:
            return output
        span = scheme.ranges[operation.output]
        return fake_quantize(output, span.low, span.high)

    return observe


def simulate(network: TfliteNetwork, scheme: Scheme, pictures: np.ndarray) -> np.ndarray:
    """Logits of the rounded network, float32 ``(count, classes)``."""
    weights, observe = round_parameters(network, scheme), rounding(network, scheme)
    network = with_rounded_constants(network, scheme.float_operations)
    return np.concatenate(
        [run(network, weights, batch, observe).numpy() for batch in batches(network, pictures)]
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


def measure_aim(network: TfliteNetwork, pictures: np.ndarray) -> FloatOutputs:
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
    aim: FloatOutputs,
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
        aim: What the float network computes for the same pictures, in the scheme's channel scales.
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
        expected = aim.means[operation.index][:fitted].mean(axis=0)
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
