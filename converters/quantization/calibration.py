"""Calibration: a float32 file and pictures in, one calibrated network out.

``converters.quantization.tflite`` and ``converters.quantization.onnx`` both write it, so that their
files hold the same weights and round in the same ranges.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np

from converters.errors import RequestError
from converters.learning.memory_maps import forget_pages
from converters.quantization.calibrated_network import (
    CalibratedNetwork,
    Progress,
)
from converters.quantization.distillation import distill
from converters.quantization.equalized_level import calibrate_equalized
from converters.quantization.fast_level import calibrate_fast
from converters.quantization.float_layers import needs_float
from converters.quantization.head_rounding import round_head
from converters.quantization.labelled_training import Course, train
from converters.quantization.layer_rounding import round_layers
from converters.quantization.picture_pass import Spread, run_here
from converters.quantization.scheme import Scheme
from converters.quantization.settings import (
    FEWEST_PICTURES,
    Level,
    QuantizationSettings,
    WeightGrid,
)
from converters.quantization.tensorflow_execution import (
    runtime_operations,
    unknown_operations,
)
from converters.quantization.tflite_network import TfliteNetwork, read_network

START_PICTURES = 640
"""Pictures that the levels that learn take ranges and scales from, if there are so many."""


def _silent(stage: str, done: int, total: int, words: str) -> None:
    """Show no progress."""


def calibrate(
    float32: bytes,
    pictures: np.ndarray,
    method: QuantizationSettings,
    layers: Collection[str] = (),
    *,
    course: Course | None = None,
    threads: int = 1,
    spread: Spread = run_here,
    progress: Progress = _silent,
) -> CalibratedNetwork:
    """Choose weights, ranges and biases of the integer files.

    Args:
        float32: The float32 TFLite file.
        pictures: Raw RGB, uint8 ``(count, height, width, 3)``, may be a memory map. Levels that
            learn take up to ``START_PICTURES`` of the course as well for ranges and scales.
        method: The level and its settings.
        layers: Names of the Keras model's layers, by which ``keep_float`` finds operators.
        course: Pictures with labels that level ``trained`` needs, and level ``distilled`` learns
            from too, without the labels. None leaves it the calibration pictures.
        threads: Threads of the interpreter that level ``fast`` runs.
        spread: Runs the passes that ranges, histograms, means and features are taken from. The
            result has the same bits whoever computes. Learning is not spread.
        progress: See ``Progress``.

    Raises:
        RequestError: There are too few pictures, a glob to keep in float matches no layer, or level
            ``trained`` has no labels.
        ModelConversionError: Activations are not finite.
    """
    check_pictures(pictures, method)
    if method.level is Level.TRAINED and course is None:
        raise RequestError(
            "level trained: no pictures with labels; expected some to learn from; give them or "
            "choose level distilled, which needs no labels"
        )
    network = read_network(float32, layers)
    kept = network.head | operations_of(network, method.keep_float) | needs_float(network)
    level, notes = _possible_level(network, method.level)
    match level:
        case Level.FAST:
            found = calibrate_fast(
                float32, network, pictures, kept, method, threads, spread, progress
            )
        case Level.EQUALIZED:
            found = calibrate_equalized(network, pictures, kept, method.grid, spread, progress)
            found = round_head(found, pictures, spread)
        case Level.DISTILLED | Level.TRAINED:
            known = pictures if course is None else course.lessons.pictures

            def rounded() -> CalibratedNetwork:
                more = _more_pictures(pictures, known)
                start = calibrate_equalized(network, more, kept, method.grid, spread, progress)
                if more is not pictures:
                    start = start.measured_on(pictures)
                return round_layers(start, known, progress)

            if level is Level.TRAINED and course is not None:
                found = train(_kept(course, float32, rounded), pictures, course, progress)
            else:
                found = distill(rounded(), known, progress)
    return replace(found, notes=notes)


def _more_pictures(pictures: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the pictures for ranges and scales: those given, and known ones if these are few."""
    if len(known) <= len(pictures) or len(pictures) >= START_PICTURES:
        return pictures
    found = list(np.asarray(pictures))
    seen = {picture.tobytes() for picture in found}
    for index in np.random.default_rng(4).permutation(len(known)):
        picture = np.array(known[index])
        if picture.tobytes() not in seen:  # one that is fitted must not judge
            found.append(picture)
        if len(found) == START_PICTURES:
            break
    forget_pages(pictures)
    forget_pages(known)
    return np.stack(found)


def _kept(
    course: Course, float32: bytes, rounded: Callable[[], CalibratedNetwork]
) -> CalibratedNetwork:
    """Return the start of a training, which is there already where it was cut off."""
    if course.unfinished is None:
        return rounded()
    start = course.unfinished.start()
    if start is None:
        start = rounded()
        course.unfinished.keep_start(float32, start)
    return start


def _possible_level(network: TfliteNetwork, level: Level) -> tuple[Level, tuple[str, ...]]:
    """Return the level that this network's operators allow, and the reason if it is a lower one."""
    if level is Level.FAST:
        return level, ()
    if unknown := unknown_operations(network):
        reason = f"{', '.join(unknown)} cannot be simulated, so ranges are LiteRT's own"
        return Level.FAST, (f"level {Level.FAST} instead of {level}: {reason}",)
    if level.learns and (alone := runtime_operations(network)):
        kinds = ", ".join(sorted({op.kind for op in alone}))
        reason = f"no gradient is known of {kinds}"
        return Level.EQUALIZED, (f"level {Level.EQUALIZED} instead of {level}: {reason}",)
    return level, ()


def for_int16_activations(calibrated: CalibratedNetwork, pictures: np.ndarray) -> Scheme:
    """Return the scheme for int16 activations: biases corrected for rounded weights only.

    16-bit activations lose too little to matter, so biases corrected for rounded activations would
    be wrong. So would the weights of level ``distilled``, which compensate for that rounding: the
    weights of the float function are used. Layers that fell back to float are integer again. No
    ONNX file shares these weights, so they use all 8 bits.
    """
    scheme = replace(
        calibrated.without_fallback(),
        parameters=calibrated.float_parameters,
        grid=WeightGrid.FULL,
    )
    if calibrated.wide_ranges is not None:
        scheme = replace(scheme, ranges=calibrated.wide_ranges)
    return calibrated.corrected(pictures, scheme, activation_bits=16)


def for_litert(
    calibrated: CalibratedNetwork, pictures: np.ndarray, *, integer_only: bool = False
) -> Scheme:
    """Return the scheme for 8 bits in LiteRT, which needs no bounded weights.

    The weights of level ``distilled`` were learned in their grid, and stay in it.

    Args:
        calibrated: The calibrated network.
        pictures: Its calibration pictures.
        integer_only: True for a file without float operators: layers that fell back to float, and
            a float head, are integer again, with biases that fit.
    """
    scheme = calibrated.scheme
    if integer_only and (calibrated.fallback is not None or scheme.has_float_head):
        scheme = replace(calibrated.without_fallback(), has_float_head=False)
        scheme = calibrated.corrected(pictures, scheme)
    learned = any(
        not np.array_equal(p.kernel, calibrated.float_parameters[index].kernel)
        for index, p in scheme.parameters.items()
        if index not in calibrated.network.head
    )
    if learned or scheme.grid is WeightGrid.FULL:
        return scheme
    return calibrated.corrected(pictures, replace(scheme, grid=WeightGrid.FULL))


def check_pictures(pictures: np.ndarray, method: QuantizationSettings) -> None:
    """Refuse too few calibration pictures.

    Raises:
        RequestError: There are none, or fewer than ``FEWEST_PICTURES`` without ``few_pictures``.
    """
    if not len(pictures):
        raise RequestError(
            "calibration: no pictures; expected at least one; pass --calibration DIR"
        )
    if len(pictures) < FEWEST_PICTURES and not method.few_pictures:
        raise RequestError(
            f"calibration: {len(pictures)} pictures; expected at least {FEWEST_PICTURES}: ranges "
            "of fewer say little about other pictures; add some, or pass --few-pictures"
        )


_JOINED_HINT = "; a shortcut's projection is part of its block's last convolution"
"""Of networks that may have been rewritten by ``join_projection_shortcuts``."""


def operations_of(network: TfliteNetwork, patterns: Collection[str]) -> frozenset[int]:
    """Return the operators of the layers whose names match the globs, by index.

    Raises:
        RequestError: A glob matches no layer.
    """
    joins = any(operation.kind == "CONCATENATION" for operation in network.operations)
    found = set()
    for pattern in patterns:
        fitting = [op.index for op in network.operations if fnmatch.fnmatch(op.layer, pattern)]
        if not fitting:
            names = ", ".join(dict.fromkeys(op.layer for op in network.weighted))
            raise RequestError(
                f"--keep-float: no layer fits {pattern!r}; expected globs of Keras names: "
                f"{names}{_JOINED_HINT if joins else ''}"
            )
        found.update(fitting)
    return frozenset(found)
