"""This project's int8 quantization, as `benchmarks/quantization.py` times it.

Imported only in the process that measures it, so its imports are not timed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from converters.learning.labelled_pictures import LabelledPictures
from converters.onnx.conversion import serialize
from converters.quantization.calibration import calibrate, for_litert
from converters.quantization.labelled_training import Course
from converters.quantization.onnx import quantize_int8
from converters.quantization.settings import Level, QuantizationSettings, Target
from converters.quantization.tflite import quantize_static
from converters.quantization.tflite_network import write_parameters
from resnet_edge.ondevice.cores import available_cores
from resnet_edge.training.augmentation import variation


@dataclass(frozen=True)
class Made:
    """One file and the time it took."""

    data: bytes
    quantize_s: float
    """Seconds from the float files to this one, with the calibration that both share."""


def quantize_ours(level: str, floats: Path, pictures: np.ndarray, seed: int) -> dict[str, Made]:
    """Quantize both float files.

    Args:
        level: ``fast``, ``equalized``, ``distilled`` or ``trained``.
        floats: The folder of ``quantization_inputs.make_inputs``.
        pictures: Calibration pictures, raw RGB, uint8 ``(count, height, width, 3)``.
        seed: Of the pictures' variations, where the level learns.

    Returns:
        The int8 files. Level ``equalized`` adds the float32 file with equalized channels, which has
        the same answers as the original.
    """
    float32_tflite = (floats / "ours" / "fp32.tflite").read_bytes()
    float32 = onnx.ModelProto.FromString((floats / "ours" / "fp32.onnx").read_bytes())
    method = QuantizationSettings(Level(level), grid=Target.AUTO.grid)
    course = course_of(floats, seed) if method.level.learns else None
    started = time.perf_counter()
    calibrated = calibrate(
        float32_tflite, pictures, method, course=course, threads=available_cores()
    )
    shared = time.perf_counter() - started
    started = time.perf_counter()
    scheme = for_litert(calibrated, pictures)
    data = quantize_static(float32_tflite, calibrated.network, scheme, integer_only=False)
    made = {"int8.tflite": Made(data, shared + time.perf_counter() - started)}
    started = time.perf_counter()
    model = quantize_int8(float32, calibrated, pictures, Target.AUTO).model
    made["int8.onnx"] = Made(serialize(model), shared + time.perf_counter() - started)
    if method.level is Level.EQUALIZED:
        equalised = write_parameters(float32_tflite, calibrated.float_parameters)
        made["fp32.tflite, equalised"] = Made(equalised.data, shared)
    return made


def course_of(floats: Path, seed: int) -> Course:
    """Return what the levels that learn learn from, varied as the product varies it.

    The seed also orders the pictures, since the levels draw some by their order.
    """
    lessons, validation = (
        LabelledPictures(np.load(floats / f"{split}.npy"), np.load(floats / f"{split}-labels.npy"))
        for split in ("train", "validation")
    )
    order = np.random.default_rng(seed).permutation(len(lessons.labels))
    lessons = LabelledPictures(lessons.pictures[order], lessons.labels[order])
    return Course(lessons, validation, variation(seed))
