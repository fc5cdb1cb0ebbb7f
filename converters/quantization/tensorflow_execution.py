"""Running the operators of a TFLite network in TensorFlow, in batches, on a GPU if there is one.

The same code computes float activations (for ranges), simulated integer activations (for choices
and figures) and gradients (for distillation). Only the function applied to each tensor differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from converters.errors import ModelConversionError
from converters.learning.memory_maps import forget_pages
from converters.quantization.answer_metrics import SMALLEST_PROBABILITY
from converters.quantization.runtime_operators import can_run, run_operator
from converters.quantization.tensorflow_operators import (
    PADDINGS,
    OperatorCall,
    OperatorOptions,
    Tensor,
    can_compute,
    compute_operator,
)
from converters.quantization.tflite_network import (
    WITH_KERNEL,
    Operation,
    Parameters,
    TfliteNetwork,
)

PIXELS_PER_BATCH = 64 * 64 * 50
"""Bound of a batch: 50 pictures of 64x64, 4 of 224x224. ResNet50 takes about 0.5 GB with it."""


@dataclass(frozen=True)
class Weights:
    """Kernel and bias of an operator: arrays, variables or tensors."""

    kernel: Tensor
    bias: Tensor


Choose = Callable[[Operation, Tensor], Weights]
"""A function from an operator with a kernel and what it reads to its weights."""

Observe = Callable[[Operation, Tensor], Tensor]
"""A function from an operator and its output to the tensor that later operators read."""


def run(
    network: TfliteNetwork,
    weights: Mapping[int, Weights],
    pictures: Tensor,
    observe: Observe | None = None,
    weigh: Observe | None = None,
    choose: Choose | None = None,
) -> Tensor:
    """Compute the logits. ``observe`` sees and may replace every operator's output.

    Args:
        network: The graph. Its batch size of 1 does not matter.
        weights: Kernel and bias by operator index.
        pictures: float32 ``(batch, height, width, 3)``, what the network's image holds.
        observe: Gets every float output after its fused activation, one at a time. Its first axis
            is that of the pictures times that of the file. None changes nothing.
        weigh: Gets the output of every kernel before its fused activation.
        choose: Gets what every kernel reads, and returns weights in the place of ``weights``.

    Returns:
        The tensor ``network.logits``, ``(batch, classes)``.

    Raises:
        ModelConversionError: An operator cannot be simulated.
    """
    values: dict[int, Tensor] = {network.image: pictures}
    last = {t: op.index for op in network.operations for t in op.inputs}
    for operation in network.operations:
        if operation.index in weights:
            read = values[operation.inputs[0]]
            used = weights[operation.index] if choose is None else choose(operation, read)
            sums = weighted_sum(operation, read, used)
            found = (activate(operation, weigh(operation, sums) if weigh else sums),)
        else:
            found = compute(network, operation, values)
        for tensor, output in zip(operation.outputs, found, strict=True):
            if observe is not None and tensor not in network.integers:
                output = observe(replace(operation, outputs=(tensor,)), output)
            values[tensor] = output
        if network.logits in operation.outputs:
            break
        for tensor in operation.inputs:
            if last[tensor] == operation.index:
                values.pop(tensor, None)
    return values[network.logits]


def centred_logits(network: TfliteNetwork, logits: Tensor) -> Tensor:
    """Return logits minus their mean over the classes. A softmax depends on nothing else.

    If the network does not end in a softmax, its answers are probabilities, and their logarithms
    are used.
    """
    if network.logits == network.answer:
        logits = tf.math.log(tf.maximum(logits, SMALLEST_PROBABILITY))
    return logits - tf.reduce_mean(logits, axis=-1, keepdims=True)


def constant_weights(
    network: TfliteNetwork, parameters: Mapping[int, Parameters] | None = None
) -> dict[int, Weights]:
    """Return kernels and biases by index of the operator: the network's own, or these."""
    return {
        index: Weights(tf.constant(p.kernel), tf.constant(p.bias))
        for index, p in (network.parameters if parameters is None else parameters).items()
    }


def batches(
    network: TfliteNetwork,
    pictures: np.ndarray,
    order: np.ndarray | None = None,
    pixels: int | None = None,
) -> Iterator[Tensor]:
    """Yield the pictures as float32 tensors of bounded size.

    Args:
        network: The graph. Its picture size bounds a batch.
        pictures: uint8 ``(count, height, width, 3)``, may be a memory map, whose pages are
            released.
        order: Indices of the wanted pictures. None takes all in their order.
        pixels: Bound of a batch; None is ``PIXELS_PER_BATCH``.
    """
    size = pictures_per_batch(network, pixels)
    order = np.arange(len(pictures)) if order is None else order
    for start in range(0, len(order), size):
        batch = np.asarray(pictures[order[start : start + size]], np.float32)
        forget_pages(pictures)
        yield tf.constant(batch)


def pictures_per_batch(network: TfliteNetwork, pixels: int | None = None) -> int:
    """Return how many pictures a batch has; see ``batches``."""
    height, width = network.shapes[network.image][1:3]
    return max(1, (PIXELS_PER_BATCH if pixels is None else pixels) // (height * width))


def unknown_operations(network: TfliteNetwork) -> tuple[str, ...]:
    """Return the kinds of operators that neither TensorFlow nor LiteRT computes alone, sorted."""
    unknown = {
        op.kind
        for op in network.operations
        if not (_is_weighted(network, op) or can_compute(op, network.constants))
        and not can_run(network, op)
    }
    return tuple(sorted(unknown))


def runtime_operations(network: TfliteNetwork) -> tuple[Operation, ...]:
    """Return the operators that only LiteRT computes. They have no gradient."""
    return tuple(
        op
        for op in network.operations
        if not (_is_weighted(network, op) or can_compute(op, network.constants))
    )


def check_operations(network: TfliteNetwork) -> None:
    """Refuse a network with operators that cannot be simulated.

    Raises:
        ModelConversionError: There are some.
    """
    if kinds := unknown_operations(network):
        raise ModelConversionError(
            f"quantization: cannot simulate {', '.join(kinds)}: LiteRT does not run them alone; "
            "pass --quantization fast, which needs no simulation"
        )


def compute(
    network: TfliteNetwork, operation: Operation, values: Mapping[int, Tensor]
) -> tuple[Tensor, ...]:
    """Return all outputs of an operator without a kernel, after its fused activation."""
    arguments = [_argument(network, values, index) for index in operation.inputs]
    is_computed = tuple(index in values for index in operation.inputs)
    if not can_compute(operation, network.constants):
        read = dict.fromkeys(t for t in operation.inputs if t in values)
        explicit = [np.asarray(_with_pictures(network, t, values[t])) for t in read]
        found = run_operator(network, operation, explicit)
        return tuple(_without_pictures(tf.constant(one)) for one in found)
    shapes = tuple(network.shapes[tensor] for tensor in operation.outputs)
    call = OperatorCall(operation, tuple(arguments), is_computed, shapes)
    return tuple(_without_pictures(activate(operation, x)) for x in compute_operator(call))


def by_picture(x: Tensor, pictures: int) -> Tensor:
    """Return ``(pictures, positions, channels)`` of a tensor that ``run`` shows."""
    return tf.reshape(x, [pictures, -1, x.shape[-1]])


def activate(operation: Operation, x: Tensor) -> Tensor:
    """Apply an operator's fused activation."""
    return _ACTIVATIONS[operation.activation](x)


def channel_means(x: Tensor) -> Tensor:
    """Return the mean of every channel over pictures and positions, ``(channels,)``."""
    return tf.reduce_mean(x, list(range(len(x.shape) - 1)))


def _is_weighted(network: TfliteNetwork, operation: Operation) -> bool:
    return operation.kind in WITH_KERNEL and operation.inputs[1] in network.constants


def _argument(network: TfliteNetwork, values: Mapping[int, Tensor], index: int) -> Tensor:
    if index < 0:
        return None
    if index in values:
        return _with_pictures(network, index, values[index])
    return network.constants[index]


def _with_pictures(network: TfliteNetwork, tensor: int, values: Tensor) -> Tensor:
    """Return values as ``(pictures, *shape in the file)``."""
    return tf.reshape(values, [-1, *network.shapes[tensor]])


def _without_pictures(values: Tensor) -> Tensor:
    """Join the pictures with the file's first axis, which mostly is a batch of 1.

    A tensor of one axis keeps that of the pictures, because its last axis is that of the channels.
    """
    if len(values.shape) < 3:
        return values
    return tf.reshape(values, [-1, *values.shape[2:]])


def weighted_sum(operation: Operation, x: Tensor, weights: Weights) -> Tensor:
    """Return the output of an operator with a kernel, before its fused activation."""
    options: OperatorOptions = operation.options
    match operation.kind:
        case "FULLY_CONNECTED":
            flat = tf.reshape(x, [-1, weights.kernel.shape[0]])
            y = tf.matmul(flat, weights.kernel) + weights.bias
            return tf.reshape(y, [-1, *x.shape[1:-1], y.shape[-1]]) if options.keepNumDims else y
        case "DEPTHWISE_CONV_2D":
            convolve = tf.nn.depthwise_conv2d
        case _:
            convolve = tf.nn.conv2d
    strides = [1, options.strideH, options.strideW, 1]
    if tuple(weights.kernel.shape[:2]) == (1, 1):
        # The same values. oneDNN writes past its memory in the gradient of a strided 1x1 kernel
        # with few channels (TensorFlow 2.21, 32x32x8).
        x, strides = x[:, :: options.strideH, :: options.strideW], [1, 1, 1, 1]
    y = convolve(
        x,
        weights.kernel,
        strides,
        PADDINGS[options.padding],
        dilations=[options.dilationHFactor, options.dilationWFactor],
    )
    return tf.nn.bias_add(y, weights.bias)


_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "NONE": lambda x: x,
    "RELU": tf.nn.relu,
    "RELU6": tf.nn.relu6,
    "RELU_N1_TO_1": lambda x: tf.clip_by_value(x, -1.0, 1.0),
    "TANH": tf.tanh,
}
