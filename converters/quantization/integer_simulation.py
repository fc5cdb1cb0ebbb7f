"""Simulation in float of a network as an integer runtime computes it.

LiteRT and onnxruntime round the output of every operator, after its fused activation, to 8 bits.
Between, they sum products exactly in 32 bits. So rounding the same tensors of the float graph gives
the same integers, up to one step in rare values: ``docs/quantization.md`` says where and why.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import tensorflow as tf

from converters.quantization.integer_kinds import KERNEL_VERSIONS
from converters.quantization.kernel_rounding import kernel_of
from converters.quantization.pixel_offset import with_whole_offset
from converters.quantization.rounding import (
    fake_quantize,
    round_weights,
    weight_scales,
    widened,
)
from converters.quantization.runtime_limits import JOINING, step_of
from converters.quantization.scheme import FIXED_RANGES, Scheme, rounded_tensors
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
    SAME_RANGE,
    SAME_VALUES,
    Operation,
    TfliteNetwork,
)


def round_parameters(
    network: TfliteNetwork, scheme: Scheme, activation_bits: int = 8
) -> dict[int, Weights]:
    """Return rounded kernels, and biases in the steps of the sums that they are added to."""
    rounded = {}
    for operation in network.weighted:
        p = scheme.parameters[operation.index]
        kernel, bias = tf.constant(p.kernel), tf.constant(p.bias)
        grid = scheme.grid_of(network, operation)
        if grid is not None:
            scales = weight_scales(kernel, operation.kind, grid)
            kernel = round_weights(kernel, operation.kind, scales)
            if operation.index not in scheme.float_operations:
                sums = scales * step_of(scheme.ranges[operation.inputs[0]], activation_bits)
                bias = tf.round(bias / sums) * sums
        rounded[operation.index] = Weights(kernel, bias)
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
        if operation.index in float_operations:
            continue
        if operation.kind in ELEMENTWISE:
            for tensor in operation.inputs:
                if tensor in constants:
                    values = constants[tensor]
                    span = widened(Range(float(values.min()), float(values.max())))
                    constants[tensor] = fake_quantize(values, span.low, span.high).numpy()
        elif operation.kind == "TRANSPOSE_CONV" and operation.inputs[1] in constants:
            kernel = constants[operation.inputs[1]].transpose(1, 2, 3, 0)
            rounded = round_weights(kernel, operation.kind, weight_scales(kernel, operation.kind))
            constants[operation.inputs[1]] = rounded.numpy().transpose(3, 0, 1, 2)
    return replace(network, constants=constants)


def written_ranges(network: TfliteNetwork, scheme: Scheme) -> dict[int, Range]:
    """Return the range in which the TFLite file holds every rounded tensor.

    All parts of a concatenation, for instance, have the step of the whole. If nothing else reads
    a part, its operator writes it in this step (litert-quantizer:
    ``_eliminate_requantization_for_nonconstrained_provider``).
    """
    found = dict(scheme.ranges)
    for operation in network.operations:
        for tensor in operation.outputs:
            readers = network.readers.get(tensor, ())
            wholes = {scheme.ranges.get(reader.output) for reader in readers}
            joins = all(
                reader.kind in JOINING and reader.index not in scheme.float_operations
                for reader in readers
            )
            is_free = operation.kind not in _OWN_STEP or operation.index in scheme.float_operations
            if tensor in found and joins and is_free and len(wholes) == 1:
                found[tensor] = wholes.pop() or found[tensor]
    return found


_OWN_STEP = SAME_RANGE | JOINING | FIXED_RANGES.keys() | KERNEL_VERSIONS.keys()
"""Operators whose output's step does not depend on what reads it."""


def rounding(network: TfliteNetwork, scheme: Scheme) -> Observe:
    """Return the function that rounds every operator's output as the runtime does."""
    tensors = rounded_tensors(network, scheme.float_operations)
    ranges = written_ranges(network, scheme)
    kernels = {
        operation.index: kernel
        for operation in network.operations
        if operation.index not in scheme.float_operations and operation.output in ranges
        if (kernel := kernel_of(network, operation, ranges)) is not None
    }

    def observe(operation: Operation, output: Tensor) -> Tensor:
        if operation.output not in tensors or operation.kind in SAME_VALUES:
            return output
        span = ranges[operation.output]
        if operation.index in kernels:
            output = kernels[operation.index](output)
        return fake_quantize(output, span.low, span.high)

    return observe


def simulate(network: TfliteNetwork, scheme: Scheme, pictures: np.ndarray) -> np.ndarray:
    """Return the logits of the rounded network, float32 ``(count, classes)``."""
    weights, observe = round_parameters(network, scheme), rounding(network, scheme)
    network = with_rounded_constants(network, scheme.float_operations)
    return np.concatenate(
        [run(network, weights, batch, observe).numpy() for batch in batches(network, pictures)]
    )
