"""This project's int8 quantization, as `benchmarks/quantization.py` times it.

Imported only in the process that measures it; its imports are not timed.
"""

from __future__ import annotations

import numpy as np
import onnx

from converters.onnx import serialize
from converters.quantization.onnx import quantize_int8
from converters.quantization.ranges import measure_ranges
from converters.quantization.tflite import quantize_static
from resnet_edge.machine import available_cores


def quantize_ours(
    level: str, float32_tflite: bytes, float32_onnx: bytes, pictures: np.ndarray
) -> dict[str, bytes]:
    """Quantize both float files.

    Args:
        level: ``fast``, ``equalized`` or ``distilled``.
        float32_tflite: What ``converters.tflite.convert_float32`` made.
        float32_onnx: What ``converters.onnx.convert_float32`` made.
        pictures: Calibration pictures, raw RGB, uint8 ``(count, height, width, 3)``.

    Returns:
        ``int8.tflite`` and ``int8.onnx``.

    Raises:
        NotImplementedError: There is no such level.
    """
    if level != "fast":
        raise NotImplementedError(f"level {level!r} does not exist; expected 'fast'")
    ranges = measure_ranges(float32_tflite, pictures, threads=available_cores())
    float32 = onnx.ModelProto.FromString(float32_onnx)
    return {
        "int8.tflite": quantize_static(float32_tflite, ranges, integer_only=False),
        "int8.onnx": serialize(quantize_int8(float32, pictures)),
    }
