"""Integers: 8-bit weights with a step per output channel, activations with one per tensor."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from converters.quantization.choices import WeightGrid
from converters.quantization.forward import Tensor
from converters.quantization.network import DEPTHWISE
from converters.quantization.ranges import Range

LEVELS = 127
"""Largest magnitude of a weight: symmetric, so that the zero point is 0 (LiteRT 8-bit spec)."""

PAIR = 128
"""Largest sum of two neighbouring weights of one sign that cannot saturate (see ``PAIR_SAFE``)."""


def weight_scales(kernel: np.ndarray, kind: str, grid: WeightGrid = WeightGrid.FULL) -> np.ndarray:
    """Step of every output channel's weights: the smallest with which none is clipped.

    Args:
        kernel: Float32, in the layout of ``converters.quantization.network.Parameters``.
        kind: The operator's kind.
        grid: The integers to round to.

    Returns:
        float32 ``(outputs,)``, positive; 1 for a channel without weights.
    """
    columns = kernel.reshape(-1, _outputs(kernel, kind)).astype(np.float64)
    largest = np.abs(columns).max(axis=0)
    match grid:
        case WeightGrid.FULL:
            steps = largest / LEVELS
        case WeightGrid.SEVEN_BITS:
            steps = largest / 64
        case WeightGrid.PAIR_SAFE:
            steps = np.maximum(largest / LEVELS, _largest_pair(kernel, kind) / (PAIR - 1))
    return np.where(largest > 0, np.maximum(steps, _SMALLEST_STEP), 1.0).astype(np.float32)


def round_weights(kernel: np.ndarray, kind: str, scales: np.ndarray) -> np.ndarray:
    """The nearest multiples of the steps, as floats."""
    columns = kernel.reshape(-1, _outputs(kernel, kind))
    rounded = np.clip(np.rint(columns / scales), -LEVELS, LEVELS) * scales
    result: np.ndarray = rounded.reshape(kernel.shape).astype(np.float32)
    return result


def fake_quantize(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Round to the 256 levels of a range with an exact zero (Jacob et al. 2018, arXiv:1712.05877).

    Gradients reach ``x`` where it is inside and the ends where it is outside.
    """
    return tf.quantization.fake_quant_with_min_max_vars(x, low, high)


def fake_quantize_kernel(kernel: Tensor, kind: str) -> Tensor:
    """Round a kernel to 8 bits, differentiably; the steps follow its largest weights."""
    outputs = kernel.shape[-1] * (kernel.shape[-2] if kind == DEPTHWISE else 1)
    columns = tf.reshape(kernel, [-1, outputs])
    largest = tf.stop_gradient(tf.reduce_max(tf.abs(columns), axis=0))
    largest = tf.maximum(largest, _SMALLEST_STEP * LEVELS)
    rounded = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        columns, -largest, largest, num_bits=8, narrow_range=True
    )
    return tf.reshape(rounded, kernel.shape)


def widened(values: Range) -> Range:
    """A range that can be quantized: it holds zero and has a width."""
    low, high = min(0.0, values.low), max(0.0, values.high)
    return Range(low, high) if high - low > _SMALLEST_SPAN else Range(0.0, 1.0)


_SMALLEST_STEP = 1e-12
_SMALLEST_SPAN = 1e-9  # of a tensor that is zero on all pictures any range will do


def _outputs(kernel: np.ndarray, kind: str) -> int:
    return int(kernel.shape[-1] * (kernel.shape[-2] if kind == DEPTHWISE else 1))


def _largest_pair(kernel: np.ndarray, kind: str) -> np.ndarray:
    """Largest sum of two weights of one sign that may be multiplied together, by output channel.

    Neighbours in the order (height, width, in) that runtimes unroll a kernel in, and in the order
    (in, height, width) of those that keep channels first. Depthwise kernels are not summed so.
    """
    outputs = _outputs(kernel, kind)
    if kind == DEPTHWISE:
        return np.zeros(outputs)
    orders = [kernel.reshape(-1, outputs)]
    if kernel.ndim == 4:
        orders.append(kernel.transpose(2, 0, 1, 3).reshape(-1, outputs))
    largest = np.zeros(outputs)
    for columns in orders:
        for sign in (1.0, -1.0):
            part = np.maximum(sign * columns.astype(np.float64), 0)
            if len(part) > 1:
                largest = np.maximum(largest, (part[:-1] + part[1:]).max(axis=0))
    return largest
