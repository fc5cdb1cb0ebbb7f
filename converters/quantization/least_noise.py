"""Channel scales with the least noise in the logits.

Equalisation may divide every channel by any positive scale. Large channels decide the step of a
tensor, so a channel wants a scale as large as its values; the kernels that read it want scales that
leave their weights alike. What is best depends on how much each channel matters to the answers: a
new head reads other channels than the network was trained for. So the noise of the logits is
written as a function of all scales, and its minimum is found by gradient descent:

* a tensor adds ``(span / 255)^2 / 12`` times the sum of ``scale^2 * gain`` over its channels,
* an output channel of a kernel adds ``(largest weight / 127)^2 / 12`` times its gain, times the sum
  of ``variance / scale^2`` over its inputs.

A gain is the sum over classes and positions of the squared derivative of a logit by one value (the
diagonal of Gauss-Newton): how much noise there reaches the answers. Noise is taken as uniform and
independent, and biases are taken to correct the means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from converters.quantization.activation_extremes import Statistics
from converters.quantization.equalization import (
    ChannelGroups,
    range_shares,
    scales_by_tensor,
    strength_scales,
)
from converters.quantization.rounding import LEVELS
from converters.quantization.scheme import rounded_tensors
from converters.quantization.tensorflow_execution import (
    PIXELS_PER_BATCH,
    Weights,
    batches,
    centred_logits,
    channel_means,
    constant_weights,
    run,
    runtime_operations,
)
from converters.quantization.tensorflow_operators import Tensor
from converters.quantization.tflite_network import (
    DEPTHWISE,
    SAME_VALUES,
    Operation,
    TfliteNetwork,
)

PIXELS = PIXELS_PER_BATCH // 4
"""Bound of a batch whose tensors and derivatives are all in memory."""

STEPS = 200
RATE = 0.05
"""Adam's rate for the logarithms of scales, with a cosine decay to zero."""

START = 0.75
"""Strength of the equalisation that the descent starts at."""

KERNELS_EVERY = 4
"""Steps between two looks at the kernels, which take ten times as long as the activations."""

SHARPNESS = (12.0, 96.0)
"""Exponents of the norm that stands for a largest value, at first and at last. The largest value
alone would move one channel a step."""

WEIGHT_POWER = 8
"""The same for the largest weight of an output channel."""


@dataclass(frozen=True)
class Gains:
    """What reaches the logits, and what varies, by channel; float64 ``(channels,)`` each."""

    outputs: Mapping[int, np.ndarray]
    """Gain of noise in a tensor, by index of the tensor."""
    sums: Mapping[int, np.ndarray]
    """Gain of noise in a kernel's sums, before the fused activation, by index of the operator."""
    variances: Mapping[int, np.ndarray]
    """Variance over pictures and positions, by index of the tensor. Biases correct the means."""


def measure_gains(network: TfliteNetwork, pictures: np.ndarray) -> Gains | None:
    """Measure the gains of all channels on some pictures.

    The sum over classes is estimated by one random combination of the logits for each picture
    (Hutchinson 1989).

    Args:
        network: The float graph.
        pictures: uint8 ``(count, height, width, 3)``, of which a few dozen are enough.

    Returns:
        The gains, or None if a derivative is not known, because only LiteRT computes an operator.
    """
    if runtime_operations(network):
        return None
    weights, rng = constant_weights(network), np.random.default_rng(0)
    outputs: dict[int, np.ndarray] = {}
    sums: dict[int, np.ndarray] = {}
    means: dict[int, np.ndarray] = {}
    squares: dict[int, np.ndarray] = {}
    for batch in batches(network, pictures, pixels=PIXELS):
        share = len(batch) / len(pictures)
        seen, weighed, slopes = _derivatives(network, weights, batch, rng)
        for tensor, values in seen.items():
            _add(means, tensor, share * channel_means(values).numpy())
            _add(squares, tensor, share * channel_means(tf.square(values)).numpy())
        for found, keys, gradients in (
            (outputs, list(seen), slopes[: len(seen)]),
            (sums, list(weighed), slopes[len(seen) :]),
        ):
            for key, slope in zip(keys, gradients, strict=True):
                if slope is not None:
                    axes = list(range(len(slope.shape) - 1))
                    _add(found, key, tf.reduce_sum(tf.square(slope), axes).numpy() / len(pictures))
    variances = {t: np.maximum(squares[t] - np.square(mean), 0) for t, mean in means.items()}
    return Gains(outputs, sums, variances)


def _derivatives(
    network: TfliteNetwork,
    weights: Mapping[int, Weights],
    batch: Tensor,
    rng: np.random.Generator,
) -> tuple[dict[int, Tensor], dict[int, Tensor], list[Tensor | None]]:
    """Return the tensors, the kernels' sums, and the derivatives by all of them in this order."""
    seen: dict[int, Tensor] = {}
    weighed: dict[int, Tensor] = {}
    with tf.GradientTape() as tape:

        def observe(operation: Operation, output: Tensor) -> Tensor:
            tape.watch(output)
            seen[operation.output] = output
            return output

        def weigh(operation: Operation, found: Tensor) -> Tensor:
            tape.watch(found)
            weighed[operation.index] = found
            return found

        logits = run(network, weights, batch, observe, weigh)
        centred = centred_logits(network, logits)
        signs = tf.constant(rng.choice([-1.0, 1.0], centred.shape), tf.float32)
        combined = tf.reduce_sum(signs * centred)
    return seen, weighed, tape.gradient(combined, [*seen.values(), *weighed.values()])


def _add(found: dict[int, np.ndarray], key: int, values: np.ndarray) -> None:
    found[key] = found.get(key, 0.0) + values.astype(np.float64)


def least_noise_scales(
    channels: ChannelGroups,
    statistics: Statistics,
    gains: Gains,
    float_operations: frozenset[int],
) -> dict[int, np.ndarray]:
    """Return the divisor of every channel, by index of the tensor, without those of none.

    Args:
        channels: The channels that must be scaled alike.
        statistics: Extremes of every tensor.
        gains: Of the same network.
        float_operations: Operators that stay in float. The head's weights are rounded all the same.
    """
    start = np.zeros(len(channels.fixed))
    for tensor, scale in strength_scales(channels, statistics, START).items():
        start[channels.members[tensor]] = np.log(scale)
    noise = _Noise(
        _activations(channels, statistics, gains, float_operations),
        _kernels(channels, gains, float_operations - channels.network.head),
    )
    is_seen = range_shares(channels, statistics) > 0
    found = _descend(noise, start, ~channels.fixed & is_seen)
    return scales_by_tensor(
        channels, np.maximum(np.exp(found), _smallest_scales(channels, statistics))
    )


@dataclass(frozen=True)
class _Activation:
    """A rounded tensor; float32 ``(channels,)`` each."""

    groups: np.ndarray
    """Number of every channel's group, int."""
    high: np.ndarray
    low: np.ndarray
    gains: np.ndarray


@dataclass(frozen=True)
class _Kernel:
    """A rounded kernel."""

    groups: np.ndarray
    """Number of every input channel's group, int ``(inputs,)``."""
    powers: np.ndarray
    """Its largest weights to the power of ``WEIGHT_POWER``, as shares of the largest of their
    output channel, float32 ``(inputs, outputs)``."""
    costs: np.ndarray
    """Noise of the logits by the squared largest share of each output, float32 ``(outputs,)``."""
    variances: np.ndarray
    """Of the inputs, float32 ``(inputs,)``."""


def _activations(
    channels: ChannelGroups,
    statistics: Statistics,
    gains: Gains,
    float_operations: frozenset[int],
) -> list[_Activation]:
    network, found = channels.network, []
    for tensor in sorted(rounded_tensors(network, float_operations) & gains.outputs.keys()):
        if tensor not in statistics or network.writers[tensor].kind in SAME_VALUES:
            continue
        extremes = statistics[tensor]
        found.append(
            _Activation(
                channels.members[tensor],
                np.maximum(extremes.high, 0).astype(np.float32),
                np.maximum(-extremes.low, 0).astype(np.float32),
                gains.outputs[tensor].astype(np.float32),
            )
        )
    return found


def _kernels(
    channels: ChannelGroups, gains: Gains, float_operations: frozenset[int]
) -> list[_Kernel]:
    """Return the kernels whose noise depends on scales. A depthwise kernel has a step a channel."""
    network, found = channels.network, []
    for operation in network.weighted:
        groups = channels.members[operation.inputs[0]]
        kernel = np.abs(network.parameters[operation.index].kernel)
        is_free = operation.kind == DEPTHWISE or operation.index in float_operations
        if is_free or operation.index not in gains.sums or kernel.shape[-2] != len(groups):
            continue
        positions = math.prod(kernel.shape[:-2])
        weights = kernel.reshape(positions, *kernel.shape[-2:]).max(axis=0)
        largest = np.maximum(weights.max(axis=0), 1e-30)
        costs = np.square(largest / LEVELS) / 12 * gains.sums[operation.index] * positions
        variances = gains.variances.get(operation.inputs[0], np.ones(len(groups)))
        found.append(
            _Kernel(
                groups,
                (weights / largest) ** WEIGHT_POWER,
                costs.astype(np.float32),
                variances.astype(np.float32),
            )
        )
    return found


@dataclass(frozen=True)
class _Noise:
    """Noise in the logits as a function of the scales."""

    activations: list[_Activation]
    kernels: list[_Kernel]

    def of_activations(self, logs: Tensor, sharpness: Tensor) -> Tensor:
        """Return the power of the noise that rounded activations cause, a scalar.

        Args:
            logs: Logarithms of the groups' scales, float32 ``(groups,)``.
            sharpness: The exponent of the norm that stands for a largest value.
        """
        noise = tf.constant(0.0)
        for one in self.activations:
            scale = tf.exp(tf.gather(logs, one.groups))
            span = _largest(one.high / scale, sharpness) + _largest(one.low / scale, sharpness)
            noise += tf.square(span / 255) / 12 * tf.reduce_sum(tf.square(scale) * one.gains)
        return noise

    def of_kernels(self, logs: Tensor) -> Tensor:
        """Return the power of the noise that rounded kernels cause, a scalar."""
        noise = tf.constant(0.0)
        for kernel in self.kernels:
            scale = tf.exp(tf.gather(logs, kernel.groups))
            top = tf.stop_gradient(tf.reduce_max(scale))
            powers = tf.linalg.matvec(
                kernel.powers, tf.pow(scale / top, WEIGHT_POWER), transpose_a=True
            )
            largest = top * tf.pow(powers + 1e-30, 1 / WEIGHT_POWER)
            carried = tf.reduce_sum(kernel.variances / tf.square(scale))
            noise += tf.reduce_sum(tf.square(largest) * kernel.costs) * carried
        return noise


def _largest(values: Tensor, sharpness: Tensor) -> Tensor:
    """Return a norm near the largest of values that are not negative."""
    top = tf.stop_gradient(tf.reduce_max(values)) + 1e-20
    return top * tf.exp(
        tf.reduce_logsumexp(sharpness * tf.math.log(values / top + 1e-6)) / sharpness
    )


def _descend(noise: _Noise, start: np.ndarray, is_free: np.ndarray) -> np.ndarray:
    """Return the logarithms of scales with little noise, by Adam on the noise in decibels."""
    logs = tf.Variable(start, dtype=tf.float32)
    mean, square = (tf.Variable(tf.zeros_like(logs)) for _ in range(2))
    mask = tf.constant(is_free, tf.float32)
    first, last = SHARPNESS

    def slope(part: Callable[..., Tensor], *arguments: Tensor) -> tuple[Tensor, Tensor]:
        with tf.GradientTape() as tape:
            power = part(logs, *arguments)
        by_logs = tape.gradient(power, logs, unconnected_gradients="zero")
        return power, tf.convert_to_tensor(by_logs)

    def of_kernels() -> tuple[Tensor, Tensor]:
        return slope(noise.of_kernels)

    def move(kernels: Tensor, by_kernels: Tensor, sharpness: Tensor, rate: Tensor) -> None:
        """Move by Adam (Kingma and Ba 2015) with its usual decays."""
        activations, by_activations = slope(noise.of_activations, sharpness)
        found = (by_activations + by_kernels) / (activations + kernels + 1e-30) * mask
        mean.assign(0.9 * mean + 0.1 * found)
        square.assign(0.999 * square + 0.001 * tf.square(found))
        logs.assign_sub(rate * mean / (tf.sqrt(square) + 1e-7))

    look, move_once = (tf.function(each, autograph=False) for each in (of_kernels, move))
    for step in range(STEPS):
        if step % KERNELS_EVERY == 0:
            kernels, by_kernels = look()
        done = step / STEPS
        rate = RATE * 0.5 * (1 + math.cos(math.pi * done))
        rate *= math.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))  # its bias correction
        move_once(
            kernels, by_kernels, tf.constant(first * (last / first) ** done), tf.constant(rate)
        )
    found: np.ndarray = logs.numpy().astype(np.float64)
    return found


def _smallest_scales(channels: ChannelGroups, statistics: Statistics) -> np.ndarray:
    """Return the scales below which values of calibration pictures would meet a ReLU6's bound."""
    bounded = np.zeros(len(channels.fixed), bool)
    for operation in channels.network.operations:
        if "RELU6" in (operation.kind, operation.activation):
            bounded[channels.members[operation.output]] = True
    return np.where(bounded, range_shares(channels, statistics), 0.0)
