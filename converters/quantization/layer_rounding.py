"""Learned rounding of all kernels: each cancels its errors on what the rounded network feeds it.

Layers are rounded in the order of the graph by ``converters.quantization.gptq``, each on the inputs
that the rounded layers before it give. No labels are needed and no gradient: block reconstruction
(AdaRound, Nagel et al. 2020, arXiv:2004.10568; BRECQ, Li et al. 2021, arXiv:2102.05426) minimizes
the same squared error of a layer's sums by thousands of steps.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import tensorflow as tf

from converters.learning.memory_maps import forget_pages
from converters.quantization.bias_correction import measure_float_outputs
from converters.quantization.calibrated_network import CalibratedNetwork, Progress
from converters.quantization.exam import Exam, hold_out, passed
from converters.quantization.gptq import round_kernel
from converters.quantization.integer_simulation import (
    round_parameters,
    rounding,
    with_rounded_constants,
)
from converters.quantization.scheme import Scheme
from converters.quantization.student import teacher_of
from converters.quantization.tensorflow_execution import (
    Weights,
    by_picture,
    channel_means,
    run,
)
from converters.quantization.tensorflow_operators import PADDINGS, OperatorOptions, Tensor
from converters.quantization.tflite_network import (
    DENSE,
    DEPTHWISE,
    Operation,
    Parameters,
    TfliteNetwork,
)

PIXELS = 64 * 64 * 640
"""Bound of the pictures that are learned from: 640 of 64x64, 52 of 224x224. With them the process
of a ResNet50 peaks at 4.6 GB."""

ROWS = 16_000
"""Bound of the inputs of one layer that are learned from, evenly drawn from all positions: a kernel
has at most a few thousand inputs."""

_CHUNK = 64
"""Pictures whose inputs are unrolled at a time, which bounds the memory."""


def round_layers(
    calibrated: CalibratedNetwork, pictures: np.ndarray, progress: Progress
) -> CalibratedNetwork:
    """Return the network with kernels of learned rounding, if its answers are better for it.

    Args:
        calibrated: A network calibrated at level ``equalized``.
        pictures: Calibration pictures, uint8 ``(count, height, width, 3)``, may be a memory map.
            Labels are not needed.
        progress: See ``Progress``.

    Returns:
        The network whose held-out pictures have the higher mean SQNR: the learned one or the one
        given. The same inputs give the same result.
    """
    network = calibrated.network
    height, width = network.shapes[network.image][1:3]
    most = max(32, PIXELS // (height * width))
    order = np.random.default_rng(2).permutation(len(pictures))[:most]
    held, used = (np.asarray(pictures[chosen]) for chosen in hold_out(order))
    forget_pages(pictures)
    learned = _learn(calibrated, used, progress)
    exam = Exam.of(network, teacher_of(network), held)
    before, after = (exam.sqnr_db(scheme) for scheme in (calibrated.scheme, learned))
    if not after > before:
        return calibrated
    return passed(calibrated, learned, after, exam)


def _learn(calibrated: CalibratedNetwork, pictures: np.ndarray, progress: Progress) -> Scheme:
    """Round every kernel, and correct its bias, before the next layer is computed."""
    network, scheme = calibrated.network, calibrated.scheme
    exact = calibrated.float_parameters
    means = measure_float_outputs(network, pictures, exact).means
    parameters = dict(scheme.parameters)
    corrects = calibrated.float_outputs is not None
    done = 0

    def choose(operation: Operation, read: Tensor) -> Weights:
        nonlocal done
        done += 1
        progress("rounding", done, len(network.weighted), operation.layer)
        index, grid = operation.index, scheme.grid_of(network, operation)
        if grid is None or not _is_learned(network, operation):
            return nearest[index]
        inputs = _inputs(operation, exact[index].kernel, read)
        if corrects:
            inputs = inputs - inputs.mean(axis=0)  # the bias undoes the mean
        kernel = round_kernel(exact[index].kernel, operation.kind, grid, inputs.T @ inputs)
        parameters[index] = Parameters(kernel, parameters[index].bias)
        return Weights(tf.constant(kernel), nearest[index].bias)

    def weigh(operation: Operation, sums: Tensor) -> Tensor:
        if not corrects:
            return sums
        expected = tf.constant(means[operation.index].mean(axis=0))
        shift = expected - channel_means(by_picture(sums, len(pictures)))
        p = parameters[operation.index]
        parameters[operation.index] = Parameters(p.kernel, p.bias + shift.numpy())
        return sums + shift

    nearest = round_parameters(network, scheme)
    run(
        with_rounded_constants(network, scheme.float_operations),
        nearest,
        tf.constant(pictures.astype(np.float32)),
        rounding(network, scheme),
        weigh,
        choose,
    )
    return replace(scheme, parameters=parameters)


def _is_learned(network: TfliteNetwork, operation: Operation) -> bool:
    """True if all outputs read the same inputs. Others keep the nearest integers."""
    channels = network.shapes[operation.inputs[0]][-1]
    kernel = network.parameters[operation.index].kernel
    return operation.kind != DEPTHWISE and kernel.shape[-2] == channels


def _inputs(operation: Operation, kernel: np.ndarray, read: Tensor) -> np.ndarray:
    """Return what a kernel multiplies, at most about ``ROWS`` rows, float32 ``(rows, inputs)``."""
    if operation.kind == DENSE:
        return np.asarray(read).reshape(-1, kernel.shape[0])[:ROWS]
    options: OperatorOptions = operation.options
    a_picture = max(1, ROWS // len(read))
    rng, found = np.random.default_rng(0), []
    for start in range(0, len(read), _CHUNK):
        patches = tf.image.extract_patches(
            read[start : start + _CHUNK],
            [1, *kernel.shape[:2], 1],
            [1, options.strideH, options.strideW, 1],
            [1, options.dilationHFactor, options.dilationWFactor, 1],
            PADDINGS[options.padding],
        )
        rows = np.asarray(by_picture(patches, len(patches)))
        if rows.shape[1] > a_picture:
            rows = rows[:, np.sort(rng.permutation(rows.shape[1])[:a_picture])]
        found.append(rows.reshape(-1, rows.shape[-1]))
    return np.concatenate(found)
