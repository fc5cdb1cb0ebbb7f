"""This project's int8 quantization, as `benchmarks/quantization.py` times it.

Imported only in the process that measures it, so its imports are not timed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import onnx

from converters.onnx.conversion import serialize
from converters.quantization.calibration import calibrate
from converters.quantization.onnx import quantize_int8
from converters.quantization.settings import Level, QuantizationSettings, Target
from converters.quantization.tflite import quantize_static
from converters.quantization.tflite_network import write_parameters
from resnet_edge.ondevice.cores import available_cores


@dataclass(frozen=True)
class Made:
    """One file and the time it took."""

    data: bytes
    quantize_s: float
    """Seconds from the float files to this one, with the calibration that both share."""


def quantize_ours(
    level: str, float32_tflite: bytes, float32_onnx: bytes, pictures: np.ndarray
) -> dict[str, Made]:
    """Quantize both float files.

    Args:
        level: ``fast``, ``equalized`` or ``distilled``.
        float32_tflite: Made by ``converters.tflite.conversion.convert_float32``.
        float32_onnx: Made by ``converters.onnx.conversion.convert_float32``.
        pictures: Calibration pictures, raw RGB, uint8 ``(count, height, width, 3)``.

    Returns:
        The int8 files. Level ``equalized`` adds the float32 file with equalized channels, which has
        the same answers as the original.
    """
    float32 = onnx.ModelProto.FromString(float32_onnx)
    method = QuantizationSettings(Level(level), grid=Target.AUTO.grid)
    started = time.perf_counter()
    calibrated = calibrate(float32_tflite, pictures, method, threads=available_cores())
    shared = time.perf_counter() - started
    started = time.perf_counter()
    network, scheme = calibrated.network, calibrated.scheme
    data = quantize_static(float32_tflite, network, scheme, integer_only=False)
    made = {"int8.tflite": Made(data, shared + time.perf_counter() - started)}
    started = time.perf_counter()
    model = quantize_int8(float32, calibrated, pictures, Target.AUTO).model
    made["int8.onnx"] = Made(serialize(model), shared + time.perf_counter() - started)
    if method.level is Level.EQUALIZED:
        equalised = write_parameters(float32_tflite, calibrated.float_parameters)
        made["fp32.tflite, equalised"] = Made(equalised.data, shared)
    return made
