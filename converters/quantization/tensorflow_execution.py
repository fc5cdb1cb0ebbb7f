"""Run a network's operators with TensorFlow, on its GPU where there is one, in batches.

The same code gives float activations (for ranges), simulated integer ones (for choosing and for
measuring) and gradients (for distillation): what differs is the function applied to each tensor.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from converters.errors import ModelConversionError
from converters.quantization.tflite_network import Operation, TfliteNetwork

Tensor = Any
"""A ``tf.Tensor``; TensorFlow comes without types."""

PIXELS_PER_BATCH = 64 * 64 * 50
"""Bounds the memory of a batch: 50 pictures of 64x64, 4 of 224x224; about 0.5 GB for ResNet50."""


@dataclass(frozen=True)
class Weights:
    """What an operator with a kernel computes with: arrays, variables or tensors."""

    kernel: Tensor
    bias: Tensor


OperatorOptions = Any
"""An operator's options as the schema generates them."""

Observe = Callable[[Operation, Tensor], Tensor]
"""Gets an operator and its float output (after the fused activation) and returns what goes on."""


def run(
    network: TfliteNetwork,
    weights: Mapping[int, Weights],
    pictures: Tensor,
    observe: Observe | None = None,
    weigh: Observe | None = None,
) -> Tensor:
    """Compute the logits, showing every operator's output to ``observe`` on the way.

    Args:
        network: The graph; its batch size of 1 does not bind.
        weights: Kernel and bias by operator index.
        pictures: float32 ``(batch, height, width, 3)``, what the network's image holds.
        observe: See above; None changes nothing.
        weigh: The same for what a kernel computes, before its fused activation.

    Returns:
        The tensor ``network.logits``, ``(batch, classes)``.

    Raises:
        ModelConversionError: An operator is not known here.
    """
    values: dict[int, Tensor] = {network.image: pictures}
    last = {t: op.index for op in network.operations for t in op.inputs}
    for operation in network.operations:
        if operation.index in weights:
            sums = weighted_sum(operation, values[operation.inputs[0]], weights[operation.index])
            output = activate(operation, weigh(operation, sums) if weigh else sums)
        else:
            output = compute(network, operation, values)
        values[operation.output] = observe(operation, output) if observe else output
        if operation.output == network.logits:
            break
        for tensor in operation.inputs:
            if last[tensor] == operation.index:
                values.pop(tensor, None)
    return values[network.logits]


def centred_logits(network: TfliteNetwork, logits: Tensor) -> Tensor:
    """Logits minus their mean over the classes, which is all that a softmax sees of them.

    Where the network ends in no softmax, its answers are probabilities, and their logarithms are
    taken.
    """
    if network.logits == network.answer:
        logits = tf.math.log(tf.maximum(logits, 1e-30))
    return logits - tf.reduce_mean(logits, axis=-1, keepdims=True)


def constant_weights(network: TfliteNetwork) -> dict[int, Weights]:
    """The network's own kernels and biases."""
    return {
        index: Weights(tf.constant(p.kernel), tf.constant(p.bias))
        for index, p in network.parameters.items()
    }


def batches(
    network: TfliteNetwork, pictures: np.ndarray, order: np.ndarray | None = None
) -> Iterator[Tensor]:
    """Pictures as float32 tensors of bounded size.

    Args:
        network: The graph; its picture size bounds a batch.
        pictures: uint8 ``(count, height, width, 3)``, may be a memory map, which does not stay in
            memory.
        order: Indices of those wanted; None takes all as they come.
    """
    height, width = network.shapes[network.image][1:3]
    size = max(1, PIXELS_PER_BATCH // (height * width))
    order = np.arange(len(pictures)) if order is None else order
    for start in range(0, len(order), size):
        batch = np.asarray(pictures[order[start : start + size]], np.float32)
        forget_pages(pictures)
        yield tf.constant(batch)


def forget_pages(pictures: np.ndarray) -> None:
    """Give the pages of a memory map back: the kernel would keep them as long as it has room.

    What was read counts as this process' memory until then, for whoever looks and for a container
    with a limit.
    """
    mapped = getattr(pictures, "_mmap", None)
    if mapped is not None and hasattr(mapped, "madvise"):  # not on Windows
        mapped.madvise(mmap.MADV_DONTNEED)


def unknown_operations(network: TfliteNetwork) -> tuple[str, ...]:
    """Kinds of operators that cannot be run here, sorted."""
    return tuple(sorted({op.kind for op in network.operations} - set(_KNOWN)))


def check_operations(network: TfliteNetwork) -> None:
    """Refuse a network with operators that cannot be run here.

    Raises:
        ModelConversionError: There are some.
    """
    if kinds := unknown_operations(network):
        raise ModelConversionError(
            f"quantization: cannot simulate {', '.join(kinds)}; expected operators out of "
            f"{', '.join(sorted(_KNOWN))}; pass --quantization fast, which needs no simulation"
        )


def compute(network: TfliteNetwork, operation: Operation, values: Mapping[int, Tensor]) -> Tensor:
    """The output of an operator without a kernel, after its fused activation."""
    arguments = [_value(network, values, index) for index in operation.inputs]
    if operation.kind not in _KNOWN:
        check_operations(network)
    return activate(operation, _KNOWN[operation.kind](operation.options, arguments))


def activate(operation: Operation, x: Tensor) -> Tensor:
    """Apply an operator's fused activation."""
    return _ACTIVATIONS[operation.activation](x)


def channel_means(x: Tensor) -> Tensor:
    """Mean of every channel over pictures and places, ``(channels,)``."""
    return tf.reduce_mean(x, list(range(len(x.shape) - 1)))


def _value(network: TfliteNetwork, values: Mapping[int, Tensor], index: int) -> Tensor:
    if index < 0:
        return None
    return values[index] if index in values else network.constants[index]


def weighted_sum(operation: Operation, x: Tensor, weights: Weights) -> Tensor:
    """What an operator with a kernel computes before its fused activation."""
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
    y = convolve(
        x,
        weights.kernel,
        [1, options.strideH, options.strideW, 1],
        _PADDINGS[options.padding],
        dilations=[options.dilationHFactor, options.dilationWFactor],
    )
    return tf.nn.bias_add(y, weights.bias)


def _pool(function: Callable[..., Tensor]) -> Callable[[OperatorOptions, Sequence[Tensor]], Tensor]:
    def pool(options: OperatorOptions, arguments: Sequence[Tensor]) -> Tensor:
        size = [options.filterHeight, options.filterWidth]
        strides = [options.strideH, options.strideW]
        return function(arguments[0], size, strides, _PADDINGS[options.padding])

    return pool


def _reshape(_: OperatorOptions, arguments: Sequence[Tensor]) -> Tensor:
    """The batch is free, whatever the file says of it; even where the file, sure of 1, drops it."""
    x, shape = arguments[0], [int(size) for size in np.asarray(arguments[1]).reshape(-1)]
    size = math.prod(x.shape[1:])
    rest = shape[1:]
    if -1 in rest:
        known = math.prod(one for one in rest if one != -1)
        rest[rest.index(-1)] = size // known
    if math.prod(rest) != size:
        rest = [1] * (len(x.shape) - 1 - len(shape)) + shape
    return tf.reshape(x, [-1, *rest])


def _slice(options: OperatorOptions, arguments: Sequence[Tensor]) -> Tensor:
    """A strided slice that leaves the batch alone."""
    x, begin, end, strides = arguments
    index: list[slice] = [slice(None)]
    for axis in range(1, len(begin)):
        start = None if options.beginMask >> axis & 1 else int(begin[axis])
        stop = None if options.endMask >> axis & 1 else int(end[axis])
        index.append(slice(start, stop, int(strides[axis])))
    return x[tuple(index)]


def _mean(options: OperatorOptions, arguments: Sequence[Tensor]) -> Tensor:
    return tf.reduce_mean(arguments[0], np.asarray(arguments[1]).reshape(-1), options.keepDims)


_PADDINGS = ("SAME", "VALID")
_KNOWN: Mapping[str, Callable[[OperatorOptions, Sequence[Tensor]], Tensor]] = {
    "CONV_2D": lambda options, a: _refuse_computed_kernel(),
    "DEPTHWISE_CONV_2D": lambda options, a: _refuse_computed_kernel(),
    "FULLY_CONNECTED": lambda options, a: _refuse_computed_kernel(),
    "ADD": lambda options, a: a[0] + a[1],
    "SUB": lambda options, a: a[0] - a[1],
    "MUL": lambda options, a: a[0] * a[1],
    "DIV": lambda options, a: a[0] / a[1],
    "MAXIMUM": lambda options, a: tf.maximum(a[0], a[1]),
    "PAD": lambda options, a: tf.pad(a[0], a[1]),
    "PADV2": lambda options, a: tf.pad(a[0], a[1], constant_values=np.asarray(a[2]).item()),
    "MIRROR_PAD": lambda options, a: tf.pad(a[0], a[1], "SYMMETRIC" if options.mode else "REFLECT"),
    "MAX_POOL_2D": _pool(tf.nn.max_pool2d),
    "AVERAGE_POOL_2D": _pool(tf.nn.avg_pool2d),
    "MEAN": _mean,
    "RESHAPE": _reshape,
    "SQUEEZE": lambda options, a: tf.squeeze(a[0], [int(i) for i in options.squeezeDims]),
    "STRIDED_SLICE": _slice,
    "TRANSPOSE": lambda options, a: tf.transpose(a[0], a[1]),
    "CONCATENATION": lambda options, a: tf.concat(list(a), options.axis),
    "RELU": lambda options, a: tf.nn.relu(a[0]),
    "RELU6": lambda options, a: tf.nn.relu6(a[0]),
    "LEAKY_RELU": lambda options, a: tf.nn.leaky_relu(a[0], options.alpha),
    "HARD_SWISH": lambda options, a: a[0] * tf.nn.relu6(a[0] + 3.0) / 6.0,
    "LOGISTIC": lambda options, a: tf.sigmoid(a[0]),
    "TANH": lambda options, a: tf.tanh(a[0]),
    "SOFTMAX": lambda options, a: tf.nn.softmax(options.beta * a[0]),
}
_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "NONE": lambda x: x,
    "RELU": tf.nn.relu,
    "RELU6": tf.nn.relu6,
    "RELU_N1_TO_1": lambda x: tf.clip_by_value(x, -1.0, 1.0),
    "TANH": tf.tanh,
}


def _refuse_computed_kernel() -> Tensor:
    raise ModelConversionError(
        "quantization: a kernel is computed by the graph; expected constants; "
        "pass --quantization fast, which needs no simulation"
    )
