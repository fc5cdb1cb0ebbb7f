"""Running the operators of a TFLite network in TensorFlow, in batches, on a GPU if there is one.

The same code computes float activations (for ranges), simulated integer activations (for choices
and figures) and gradients (for distillation). Only the function applied to each tensor differs.
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
from converters.quantization.answer_metrics import SMALLEST_PROBABILITY
from converters.quantization.tflite_network import Operation, TfliteNetwork

Tensor = Any
"""A ``tf.Tensor``; TensorFlow comes without types."""

PIXELS_PER_BATCH = 64 * 64 * 50
"""Bound of a batch: 50 pictures of 64x64, 4 of 224x224. ResNet50 takes about 0.5 GB with it."""


@dataclass(frozen=True)
class Weights:
    """Kernel and bias of an operator: arrays, variables or tensors."""

    kernel: Tensor
    bias: Tensor


OperatorOptions = Any
"""An operator's options, in the class that the TFLite schema generates."""

Observe = Callable[[Operation, Tensor], Tensor]
"""A function from an operator and its output to the tensor that later operators read."""


def run(
    network: TfliteNetwork,
    weights: Mapping[int, Weights],
    pictures: Tensor,
    observe: Observe | None = None,
    weigh: Observe | None = None,
) -> Tensor:
    """Compute the logits. ``observe`` sees and may replace every operator's output.

    Args:
        network: The graph. Its batch size of 1 does not matter.
        weights: Kernel and bias by operator index.
        pictures: float32 ``(batch, height, width, 3)``, what the network's image holds.
        observe: Gets every output after its fused activation. None changes nothing.
        weigh: Gets the output of every kernel before its fused activation.

    Returns:
        The tensor ``network.logits``, ``(batch, classes)``.

    Raises:
        ModelConversionError: An operator cannot be simulated.
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
    """Return logits minus their mean over the classes. A softmax depends on nothing else.

    If the network does not end in a softmax, its answers are probabilities, and their logarithms
    are used.
    """
    if network.logits == network.answer:
        logits = tf.math.log(tf.maximum(logits, SMALLEST_PROBABILITY))
    return logits - tf.reduce_mean(logits, axis=-1, keepdims=True)


def constant_weights(network: TfliteNetwork) -> dict[int, Weights]:
    """Return the network's own kernels and biases, by index of the operator."""
    return {
        index: Weights(tf.constant(p.kernel), tf.constant(p.bias))
        for index, p in network.parameters.items()
    }


def batches(
    network: TfliteNetwork, pictures: np.ndarray, order: np.ndarray | None = None
) -> Iterator[Tensor]:
    """Yield the pictures as float32 tensors of bounded size.

    Args:
        network: The graph. Its picture size bounds a batch.
        pictures: uint8 ``(count, height, width, 3)``, may be a memory map, whose pages are
            released.
        order: Indices of the wanted pictures. None takes all in their order.
    """
    height, width = network.shapes[network.image][1:3]
    size = max(1, PIXELS_PER_BATCH // (height * width))
    order = np.arange(len(pictures)) if order is None else order
    for start in range(0, len(order), size):
        batch = np.asarray(pictures[order[start : start + size]], np.float32)
        forget_pages(pictures)
        yield tf.constant(batch)


def forget_pages(pictures: np.ndarray) -> None:
    """Release the pages of a memory map, which the kernel would keep as long as it has room.

    Pages that were read count as memory of this process, also against the limit of a container.
    """
    mapped = getattr(pictures, "_mmap", None)
    if mapped is not None and hasattr(mapped, "madvise"):  # not on Windows
        mapped.madvise(mmap.MADV_DONTNEED)


def unknown_operations(network: TfliteNetwork) -> tuple[str, ...]:
    """Return the kinds of operators that cannot be simulated, sorted."""
    return tuple(sorted({op.kind for op in network.operations} - set(_KNOWN)))


def check_operations(network: TfliteNetwork) -> None:
    """Refuse a network with operators that cannot be simulated.

    Raises:
        ModelConversionError: There are some.
    """
    if kinds := unknown_operations(network):
        raise ModelConversionError(
            f"quantization: cannot simulate {', '.join(kinds)}; expected operators out of "
            f"{', '.join(sorted(_KNOWN))}; pass --quantization fast, which needs no simulation"
        )


def compute(network: TfliteNetwork, operation: Operation, values: Mapping[int, Tensor]) -> Tensor:
    """Return the output of an operator without a kernel, after its fused activation."""
    arguments = [_value(network, values, index) for index in operation.inputs]
    if operation.kind not in _KNOWN:
        check_operations(network)
    return activate(operation, _KNOWN[operation.kind](operation.options, arguments))


def activate(operation: Operation, x: Tensor) -> Tensor:
    """Apply an operator's fused activation."""
    return _ACTIVATIONS[operation.activation](x)


def channel_means(x: Tensor) -> Tensor:
    """Return the mean of every channel over pictures and positions, ``(channels,)``."""
    return tf.reduce_mean(x, list(range(len(x.shape) - 1)))


def _value(network: TfliteNetwork, values: Mapping[int, Tensor], index: int) -> Tensor:
    if index < 0:
        return None
    return values[index] if index in values else network.constants[index]


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
    """Reshape with a free batch, also if the file has no batch dimension because it is 1."""
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
    """Slice with strides along all axes but the batch."""
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
