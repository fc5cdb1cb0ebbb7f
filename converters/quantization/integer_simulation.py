"""Simulation in float of a network as an integer runtime computes it.

LiteRT and onnxruntime round the output of every operator, after its fused activation, to 8 bits.
Between, they sum products exactly in 32 bits. So rounding the same tensors of the float graph gives
the same answers, up to one step in rare values.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import tensorflow as tf

from converters.quantization.pixel_offset import with_whole_offset
from converters.quantization.rounding import (
    fake_quantize,
    round_weights,
    weight_scales,
    widened,
)
from converters.quantization.scheme import Scheme, rounded_tensors
from converters.quantization.tensor_range import Range
from converters.quantization.tensorflow_execution import (
    Observe,
    Weights,
    batches,
    run,
)
from converters.quantization.tensorflow_operators import Tensor
from converters.quantization.tflite_network import (
    ELEMENTWISE,
    SAME_VALUES,
    Operation,
    TfliteNetwork,
)


def round_parameters(network: TfliteNetwork, scheme: Scheme) -> dict[int, Weights]:
    """Return rounded kernels, and biases as they are: 32 bits lose too little to matter."""
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
    """Return the network with rounded constants of integer sums and products, as in a runtime.

    The mean that preprocessing subtracts is rounded to 8 bits too. It is then wrong by up to half a
    level, which later biases can correct once it is known.
    """
    network = with_whole_offset(network, rounded_tensors(network, float_operations))
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
    """Return the function that rounds every operator's output as the runtime does."""
    tensors = rounded_tensors(network, scheme.float_operations)

    def observe(operation: Operation, output: Tensor) -> Tensor:
        if operation.output not in tensors or operation.kind in SAME_VALUES:
            return output
        span = scheme.ranges[operation.output]
        return fake_quantize(output, span.low, span.high)

    return observe


def simulate(network: TfliteNetwork, scheme: Scheme, pictures: np.ndarray) -> np.ndarray:
    """Return the logits of the rounded network, float32 ``(count, classes)``."""
    weights, observe = round_parameters(network, scheme), rounding(network, scheme)
    network = with_rounded_constants(network, scheme.float_operations)
    return np.concatenate(
        [run(network, weights, batch, observe).numpy() for batch in batches(network, pictures)]
    )
