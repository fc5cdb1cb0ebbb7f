"""Rounding: 8-bit weights with a step per output channel, activations with a step per tensor."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from converters.quantization.settings import WeightGrid
from converters.quantization.tensor_range import Range
from converters.quantization.tensorflow_operators import Tensor
from converters.quantization.tflite_network import DEPTHWISE

LEVELS = 127
"""Largest magnitude of a weight. The zero point is 0 (LiteRT 8-bit spec)."""

PAIR = 128
"""Largest sum of two neighbouring weights of one sign that cannot saturate (see ``PAIR_SAFE``)."""


_Gradient = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


def weight_scales(kernel: Tensor, kind: str, grid: WeightGrid = WeightGrid.FULL) -> Tensor:
    """Return the smallest step of every output channel that clips no weight.

    Args:
        kernel: Float32, in the layout of ``converters.quantization.tflite_network.Parameters``.
        kind: The operator's kind.
        grid: The integers to round to.

    Returns:
        float32 ``(outputs,)``, positive; 1 for a channel without weights.
    """
    largest = tf.reduce_max(tf.abs(_columns(kernel, kind)), axis=0)
    if grid is WeightGrid.PAIR_SAFE and kind != DEPTHWISE:  # whose products are not summed in pairs
        # Rounding adds at most half a step to either.
        largest = tf.maximum(largest, _largest_pair(kernel) * (LEVELS / (PAIR - 1)))
    return tf.where(largest > 0, tf.maximum(largest / LEVELS, _SMALLEST_STEP), 1.0)


def kernel_steps(kernel: Tensor, kind: str, grid: WeightGrid) -> Tensor:
    """Return the steps in a shape that multiplies the kernel."""
    steps = weight_scales(kernel, kind, grid)
    return tf.reshape(steps, kernel.shape[2:] if kind == DEPTHWISE else (-1,))


def round_weights(kernel: Tensor, kind: str, scales: Tensor) -> Tensor:
    """Return the nearest multiples of the steps, as floats."""
    return tf.reshape(tf.round(_columns(kernel, kind) / scales) * scales, kernel.shape)


def fake_quantize(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Round to the 256 levels of a range with an exact zero (Jacob et al. 2018, arXiv:1712.05877).

    Gradients pass straight through to ``x`` inside the range. The ends of the range get the
    gradient of clipping from values outside and that of the step from values inside (Esser et al.
    2020, arXiv:1902.08153). TensorFlow's own gradient has the first part only, and it only widens
    ranges.
    """
    return _fake_quantize(x, tf.cast(low, tf.float32), tf.cast(high, tf.float32))


def _with_gradient(x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, _Gradient]:
    rounded = tf.quantization.fake_quant_with_min_max_vars(x, low, high)

    def gradient(slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        below, above = x < low, x > high
        inside = tf.where(below | above, 0.0, slope)
        of_step = tf.reduce_sum(inside * (rounded - x)) / (high - low)
        of_low = tf.reduce_sum(tf.where(below, slope, 0.0)) - of_step
        of_high = tf.reduce_sum(tf.where(above, slope, 0.0)) + of_step
        return inside, of_low, of_high

    return rounded, gradient


_fake_quantize: Callable[[Tensor, Tensor, Tensor], Tensor] = tf.custom_gradient(_with_gradient)


def fake_quantize_kernel(kernel: Tensor, kind: str, grid: WeightGrid) -> Tensor:
    """Round a kernel to 8 bits. Gradients pass straight through."""
    rounded = round_weights(kernel, kind, weight_scales(kernel, kind, grid))
    return kernel + tf.stop_gradient(rounded - kernel)


def widened(values: Range) -> Range:
    """Return a range that can be quantized: it holds zero and has a width."""
    low, high = min(0.0, values.low), max(0.0, values.high)
    return Range(low, high) if high - low > _SMALLEST_SPAN else Range(0.0, 1.0)


_SMALLEST_STEP = 1e-12
_SMALLEST_SPAN = 1e-9  # any range will do for a tensor that is always zero


def _columns(kernel: Tensor, kind: str) -> Tensor:
    """Return the kernel as ``(weights of an output channel, output channels)``."""
    outputs = kernel.shape[-1] * (kernel.shape[-2] if kind == DEPTHWISE else 1)
    return tf.reshape(kernel, [-1, outputs])


def _largest_pair(kernel: Tensor) -> Tensor:
    """Return the largest magnitude of a sum of two neighbouring weights, by output channel.

    Runtimes unroll a kernel in the order (height, width, in), or (in, height, width) with channels
    first: neighbours in both orders count. A sum of opposite signs is smaller than the larger of
    the two.
    """
    orders = [tf.reshape(kernel, [-1, kernel.shape[-1]])]
    if len(kernel.shape) == 4 and kernel.shape[0] * kernel.shape[1] > 1:
        orders.append(tf.reshape(tf.transpose(kernel, [2, 0, 1, 3]), orders[0].shape))
    largest = tf.zeros(kernel.shape[-1])
    for columns in orders:
        if columns.shape[0] > 1:
            pairs = tf.abs(columns[:-1] + columns[1:])
            largest = tf.maximum(largest, tf.reduce_max(pairs, axis=0))
    return largest
