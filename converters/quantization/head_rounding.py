"""Rounding of the dense head so that its errors cancel on real features.

A head often weighs the small differences between correlated features, so the nearest integers are
a poor choice. ``converters.quantization.gptq`` rounds it, if that is better on pictures held out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from converters.quantization.answer_metrics import sqnr_db
from converters.quantization.calibrated_network import CalibratedNetwork
from converters.quantization.gptq import round_kernel
from converters.quantization.picture_pass import Arrays, Measure, Spread, ignore, run_here
from converters.quantization.rounding import round_weights, weight_scales
from converters.quantization.settings import WeightGrid
from converters.quantization.tensorflow_execution import (
    Weights,
    constant_weights,
    pictures_per_batch,
    run,
)
from converters.quantization.tensorflow_operators import Tensor
from converters.quantization.tflite_network import (
    DENSE,
    Operation,
    Parameters,
    TfliteNetwork,
)

MOST_PICTURES = 128
"""Calibration pictures whose features are computed."""

FEW_PICTURES = 32
"""Pictures that are enough to tell whether 8 bits are too coarse."""

FEWEST_PICTURES = 16
"""With fewer pictures every weight gets the nearest integer."""

HELD_OUT = 4
"""Every fourth of them decides whether the rounding is used."""

FLOOR_DB = 35.0
"""A head stays in float32 if its nearest integers alone give logits of a lower SQNR: then errors
cancel on pictures like these at best. The integers before it leave 20 to 35 dB. Trained heads have
48 to 65 dB; a fit to features that hardly vary has less."""


def round_head(
    calibrated: CalibratedNetwork, pictures: np.ndarray, spread: Spread = run_here
) -> CalibratedNetwork:
    """Return the network with a head of rounded weights, if its logits are better for it.

    Args:
        calibrated: A network of level ``equalized``.
        pictures: Its calibration pictures, uint8 ``(count, height, width, 3)``, may be a memory
            map.
        spread: Runs the pass.
    """
    network, scheme = calibrated.network, calibrated.scheme
    head = network.dense_head
    if head is None or len(pictures) < FEWEST_PICTURES or scheme.has_float_head:
        return calibrated
    exact_weights = calibrated.float_parameters
    features = _features(network, head, exact_weights, pictures, MOST_PICTURES, spread)
    held_out = np.arange(len(features)) % HELD_OUT == HELD_OUT - 1
    stored = calibrated.float_parameters[head.index].kernel
    exact = stored.reshape(-1, stored.shape[-1])  # a convolution that has only one position
    learned = features[~held_out]
    learned -= learned.mean(axis=0)  # which a bias undoes
    rounded = round_kernel(exact, DENSE, WeightGrid.FULL, learned.T @ learned)
    errors = [
        float(np.square(_centred(features[held_out] @ (kernel - exact))).sum())
        for kernel in (rounded, _nearest(exact))
    ]
    if not errors[0] < errors[1]:
        return calibrated
    parameters = dict(scheme.parameters)
    bias = parameters[head.index].bias
    parameters[head.index] = Parameters(rounded.reshape(stored.shape), bias)
    scheme = calibrated.corrected(pictures, replace(scheme, parameters=parameters))
    return replace(calibrated, scheme=scheme)


def head_features(
    network: TfliteNetwork, head: Operation, pictures: np.ndarray, spread: Spread = run_here
) -> np.ndarray:
    """Return what the head of the float network reads, float32 ``(pictures, inputs)``.

    Args:
        network: The float graph.
        head: Its ``dense_head``.
        pictures: Calibration pictures, uint8 ``(count, height, width, 3)``, may be a memory map.
        spread: Runs the pass.
    """
    return _features(network, head, network.parameters, pictures, FEW_PICTURES, spread)


def is_too_coarse(features: np.ndarray, kernel: np.ndarray, scaled: np.ndarray) -> bool:
    """Return True if the head's weights have to stay in float32, judged by their nearest integers.

    Args:
        features: Of ``head_features``.
        kernel: The head's kernel, float32 ``(..., inputs, outputs)``.
        scaled: The same in the channel scales that are rounded: a multiple for each input.
    """
    exact, stored = (one.reshape(-1, one.shape[-1]) for one in (kernel, scaled))
    unscaled = np.divide(exact, stored, out=np.zeros_like(exact), where=stored != 0)
    varying = features - features.mean(axis=0)  # a bias undoes the mean
    logits, rounded = (_centred(varying @ one) for one in (exact, _nearest(stored) * unscaled))
    return bool(np.square(logits).sum() > 0) and sqnr_db(logits, rounded) < FLOOR_DB


def _nearest(kernel: np.ndarray) -> np.ndarray:
    scales = weight_scales(kernel, DENSE, WeightGrid.FULL)
    nearest: np.ndarray = round_weights(kernel, DENSE, scales).numpy()
    return nearest


def _centred(logits: np.ndarray) -> np.ndarray:
    """Return logits minus their means over pictures and classes, which a bias and softmax undo."""
    centred: np.ndarray = logits - logits.mean(axis=1, keepdims=True)
    centred -= centred.mean(axis=0)
    return centred


def _features(
    network: TfliteNetwork,
    head: Operation,
    parameters: Mapping[int, Parameters],
    pictures: np.ndarray,
    most: int,
    spread: Spread,
) -> np.ndarray:
    """Return what the dense head reads in the float network, float32 ``(pictures, inputs)``."""
    writer = network.writers[head.inputs[0]].index
    work = FeaturesPass(network, constant_weights(network, parameters), writer)
    step = max(1, -(-len(pictures) // most))
    ((features,),) = spread(work, pictures, [np.arange(0, len(pictures), step)], ignore)
    return features


@dataclass(frozen=True)
class FeaturesPass:
    """Outputs of one operator of the float network.

    The statistics are float32 ``(pictures, outputs)``.
    """

    network: TfliteNetwork
    weights: Mapping[int, Weights]
    writer: int
    """The operator's index."""
    title: str = "features"

    @property
    def batch(self) -> int:
        """See ``PicturePass``."""
        return pictures_per_batch(self.network)

    def open(self) -> Measure:
        """See ``PicturePass``."""

        def measure(pictures: np.ndarray) -> Arrays:
            found: list[np.ndarray] = []

            def observe(operation: Operation, output: Tensor) -> Tensor:
                if operation.index == self.writer:
                    found.append(np.asarray(output).reshape(len(output), -1))
                return output

            run(self.network, self.weights, tf.constant(pictures.astype(np.float32)), observe)
            return tuple(found)

        return measure

    def merge(self, first: Arrays, second: Arrays) -> Arrays:
        """See ``PicturePass``."""
        return (np.concatenate([first[0], second[0]]),)
