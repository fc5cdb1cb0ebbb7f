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

from converters.quantization.choices import WeightGrid
from converters.quantization.forward import (
    Observe,
    Tensor,
    Weights,
    activate,
    batches,
    compute,
    run,
    weighted_sum,
)
from converters.quantization.network import ELEMENTWISE, SAME_VALUES, Network, Operation, Parameters
from converters.quantization.ranges import Range
from converters.quantization.rounding import (
    fake_quantize,
    round_weights,
    weight_scales,
    widened,
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


def rounded_tensors(network: Network, float_operations: Collection[int]) -> frozenset[int]:
    """Tensors that an integer operator reads or writes."""
    return frozenset(
        tensor
        for operation in network.operations
        if operation.index not in float_operations
        for tensor in (*operation.inputs, *operation.outputs)
        if tensor >= 0 and tensor not in network.constants
    )


def round_parameters(
    network: Network,
    scheme: Scheme,
    grid: WeightGrid = WeightGrid.FULL,
) -> dict[int, Weights]:
    """Rounded kernels, and biases as they are: 32 bits lose nothing that matters."""
    rounded = {}
    for operation in network.weighted:
        p = scheme.parameters[operation.index]
        kernel = p.kernel
        if operation.index not in scheme.float_operations or operation.index in network.head:
            scales = weight_scales(kernel, operation.kind, grid)
            kernel = round_weights(kernel, operation.kind, scales)
        rounded[operation.index] = Weights(tf.constant(kernel), tf.constant(p.bias))
    return rounded


def with_rounded_constants(network: Network, float_operations: Collection[int]) -> Network:
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


def rounding(network: Network, scheme: Scheme) -> Observe:
    """The function that rounds every operator's output as the runtime would."""
    tensors = rounded_tensors(network, scheme.float_operations)

    def observe(operation: Operation, output: Tensor) -> Tensor:
        if operation.output not in tensors or operation.kind in SAME_VALUES:
            return output
        span = scheme.ranges[operation.output]
        return fake_quantize(output, span.low, span.high)

    return observe


def simulate(
    network: Network, scheme: Scheme, pictures: np.ndarray, grid: WeightGrid = WeightGrid.FULL
) -> np.ndarray:
    """Logits of the rounded network, float32 ``(count, classes)``."""
    weights, observe = round_parameters(network, scheme, grid), rounding(network, scheme)
    network = with_rounded_constants(network, scheme.float_operations)
    return np.concatenate(
        [run(network, weights, batch, observe).numpy() for batch in batches(network, pictures)]
    )


def correct_biases(
    network: Network,
    scheme: Scheme,
    reference: Mapping[int, Parameters],
    pictures: np.ndarray,
    held_out: int = 0,
    grid: WeightGrid = WeightGrid.FULL,
    activation_bits: int = 8,
) -> tuple[Scheme, np.ndarray, np.ndarray]:
    """Take the mean error of every output channel back by its bias, layer after layer.

    Rounding and clipping shift means, and a shift grows through the layers behind it. The float and
    the rounded network run side by side, and every layer with a kernel gets the bias that makes its
    channels' means equal before the next one is computed (Nagel et al. 2019, arXiv:1906.04721,
    section 4.2, but in sequence, so that no error is corrected twice).

    Args:
        network: The graph.
        scheme: Its weights, ranges and float operators.
        reference: The weights of the float network, whose means are aimed at.
        pictures: uint8 ``(count, height, width, 3)``; all are in memory at once, so keep to
            ``converters.quantization.forward.PIXELS_PER_BATCH`` or a few times that.
        held_out: The last so many pictures are computed, but no bias is fitted to them.
        grid: What the weights are rounded to.
        activation_bits: 8, or 16, which loses nothing that matters: activations are not rounded.

    Returns:
        The scheme with other biases, and the float and the rounded logits for ``pictures``.
    """
    batch = tf.constant(np.asarray(pictures, np.float32))
    fitted = len(pictures) - held_out
    rounded = round_parameters(network, scheme, grid)
    observe = rounding(network, scheme) if activation_bits == 8 else _as_it_is
    constants = with_rounded_constants(network, scheme.float_operations)
    exact: dict[int, Tensor] = {network.image: batch}
    integer: dict[int, Tensor] = {network.image: batch}
    parameters = dict(scheme.parameters)
    last = {tensor: op.index for op in network.operations for tensor in op.inputs}
    for operation in network.operations:
        index = operation.index
        if index in rounded:
            p, aim = parameters[index], reference[index]
            expected = weighted_sum(
                operation, exact[operation.inputs[0]], Weights(aim.kernel, aim.bias)
            )
            actual = weighted_sum(operation, integer[operation.inputs[0]], rounded[index])
            axes = list(range(len(expected.shape) - 1))
            shift = tf.reduce_mean((expected - actual)[:fitted], axes)
            bias = (p.bias + shift.numpy()).astype(np.float32)
            parameters[index] = Parameters(p.kernel, bias)
            exact[operation.output] = activate(operation, expected)
            integer[operation.output] = observe(operation, activate(operation, actual + shift))
        else:
            exact[operation.output] = compute(network, operation, None, exact)
            integer[operation.output] = observe(
                operation, compute(constants, operation, None, integer)
            )
        if operation.output == network.logits:
            break
        for tensor in operation.inputs:
            if last[tensor] == index:
                exact.pop(tensor, None)
                integer.pop(tensor, None)
    corrected = Scheme(parameters, scheme.ranges, scheme.float_operations)
    return corrected, exact[network.logits].numpy(), integer[network.logits].numpy()


def _as_it_is(_: Operation, output: Tensor) -> Tensor:
    return output
