"""What a layer reads, and what an error of its sums does to the logits.

Both are second moments. With them the error of any other kernel follows without running the
network: ``sum_o slope_o * d_o' G d_o`` for a kernel that differs by ``d``, where ``G`` is the Gram
matrix of what the layer reads and ``slope_o`` the mean squared derivative of the logits by output
``o`` (the Kronecker factors of Martens and Grosse 2015, arXiv:1503.05671, one of them diagonal).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from converters.compression.flat_graph import FlatCall, FlatGraph, Tensor, has_kernel, in_batches
from converters.compression.patches import Patches

DIRECTIONS = 4
"""Random combinations of the logits whose derivatives are taken for every picture."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LayerStatistics:
    """Second moments of one layer, summed over positions, per picture."""

    energy: np.ndarray
    """float32 ``(rows + 1,)``: sum of squares of what each row of the kernel reads; the last reads
    ones."""
    gram: np.ndarray | None
    """float32 ``(rows + 1, rows + 1)``: sums of products of two rows, or None if they are too
    many."""
    slopes: np.ndarray
    """float32 ``(outputs,)``: squared change of the logits by a squared error of an output."""


def measure_layers(
    graph: FlatGraph, pictures: np.ndarray, batch: int, progress: Progress
) -> Mapping[FlatCall, LayerStatistics]:
    """Measure all layers with a kernel.

    Args:
        graph: The network.
        pictures: float32 ``(count, height, width, 3)``, what the model expects.
        batch: Pictures that run at once.
        progress: Gets batches done and their number.

    Returns:
        The statistics by call.
    """
    wanted = [call for call in graph.calls if has_kernel(call) and call.is_only]
    patches = {call: Patches(call, len(pictures)) for call in wanted}
    moments = {call: _zeros(own) for call, own in patches.items()}
    slopes = {call: np.zeros(call.layer.kernel.shape[-1]) for call in wanted}
    rng = np.random.default_rng(5)
    total = -(-len(pictures) // batch)
    for done, x in enumerate(in_batches(pictures, batch), start=1):
        for call, found in _squared_slopes(graph, x, rng).items():
            slopes[call] += found
        _add_moments(graph, x, patches, moments)
        progress(done, total)
    count = len(pictures)
    statistics = {}
    for call in wanted:
        own = moments.pop(call)
        own /= count
        statistics[call] = _statistics(own, (slopes[call] / count).astype(np.float32))
    return statistics


def _zeros(patches: Patches) -> np.ndarray:
    size = patches.rows + 1
    return np.zeros(size if patches.are_long else (size, size), np.float32)


def _statistics(moments: np.ndarray, slopes: np.ndarray) -> LayerStatistics:
    if moments.ndim == 1:
        return LayerStatistics(moments, None, slopes)
    return LayerStatistics(np.diagonal(moments).copy(), moments, slopes)


def _add_moments(
    graph: FlatGraph,
    x: np.ndarray,
    patches: Mapping[FlatCall, Patches],
    moments: Mapping[FlatCall, np.ndarray],
) -> None:
    def add(call: FlatCall, read: list[Tensor], _: Tensor) -> None:
        if call in patches:
            weight, (vectors,) = patches[call].sample(read[0])
            rows = tf.reshape(vectors, (-1, vectors.shape[-1]))
            if patches[call].are_long:
                found = tf.reduce_sum(tf.square(rows), axis=0)
            else:
                found = tf.matmul(rows, rows, transpose_a=True)
            moments[call][...] += weight * found.numpy()

    graph.logits(tf.constant(x), add)


def _squared_slopes(
    graph: FlatGraph, x: np.ndarray, rng: np.random.Generator
) -> dict[FlatCall, np.ndarray]:
    """Return the sum over pictures of mean squared derivatives, over positions and directions."""
    found: dict[FlatCall, tf.Tensor] = {}
    with tf.GradientTape(persistent=True) as tape:
        pictures = tf.constant(x)
        tape.watch(pictures)
        logits = graph.logits(pictures, lambda call, _, value: found.update({call: value}))
        signs = [rng.choice([-1.0, 1.0], logits.shape) for _ in range(DIRECTIONS)]
        mixed = [tf.reduce_sum(logits * tf.constant(one, tf.float32)) for one in signs]
    kernels = {call: value for call, value in found.items() if has_kernel(call)}
    sums = {call: np.zeros(value.shape[-1]) for call, value in kernels.items()}
    for one in mixed:
        for call, slope in zip(kernels, tape.gradient(one, list(kernels.values())), strict=True):
            if slope is not None:
                squared = tf.reduce_mean(tf.square(slope), axis=list(range(1, slope.ndim - 1)))
                sums[call] += tf.reduce_sum(squared, axis=0).numpy() / DIRECTIONS
    return sums
