"""ONNX int8: static QDQ, per-channel, by onnxruntime's quantizer."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.calibrate import MinMaxCalibrater, TensorsData, save_tensors_data

from converters.errors import ConversionError
from converters.quantization.ranges import not_finite

METHOD = "min-max"
_FLOAT_OPERATORS = frozenset({"Slice", "Sub", "Mul", "Transpose", "Pad", "Softmax", "Cast"})


class _Pictures(CalibrationDataReader):  # type: ignore[misc]
    """Feeds pictures one at a time, so that memory does not grow with their number."""

    def __init__(
        self, name: str, pictures: np.ndarray, progress: Callable[[int, int], None] | None
    ) -> None:
        self._name = name
        self._pictures = pictures
        self._progress = progress
        self._next = 0

    def get_next(self) -> dict[str, np.ndarray] | None:
        if self._next >= len(self._pictures):
            return None
        picture = self._pictures[self._next][np.newaxis].astype(np.float32)
        self._next += 1
        if self._progress is not None:
            self._progress(self._next, len(self._pictures))
        return {self._name: picture}

    def __len__(self) -> int:
        return len(self._pictures)


class _Calibrator(MinMaxCalibrater):  # type: ignore[misc]
    """Minimum and maximum per tensor, which must be finite: the parent passes over NaN silently."""

    def compute_data(self) -> TensorsData:
        outputs = [output.name for output in self.infer_session.get_outputs()]
        for picture in self.intermediate_outputs:
            for name, values in zip(outputs, picture, strict=True):
                if values is not None and not np.isfinite(values).all():
                    raise not_finite(name.rpartition("_")[0])
        return super().compute_data()


def quantize_int8(
    float32: onnx.ModelProto,
    pictures: np.ndarray,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> onnx.ModelProto:
    """Quantize weights to 7 bits per channel and activations to uint8, as QDQ pairs.

    7-bit weights (``reduce_range``): on x86 without VNNI onnxruntime multiplies uint8 by int8 into
    saturating 16-bit sums, and full 8-bit weights lose every twelfth answer of a ResNet50 there.
    With 7 bits the file is right on every processor.

    Args:
        float32: What ``converters.onnx.convert_float32`` returned.
        pictures: Raw RGB, uint8 ``(count, height, width, 3)``, may be a memory map.
        progress: Called with pictures done and pictures in all.

    Returns:
        The quantized model, float32 in and out; preprocessing and softmax stay float.

    Raises:
        ConversionError: No pictures, or an activation is NaN or infinite.
    """
    if not len(pictures):
        raise ConversionError(
            "calibration: no pictures; expected at least one; pass --calibration DIR"
        )
    operators = sorted({node.op_type for node in float32.graph.node} - _FLOAT_OPERATORS)
    logging.getLogger().addFilter(_is_no_preprocessing_hint)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            ranges, target = Path(scratch) / "ranges.json", Path(scratch) / "int8.onnx"
            reader = _Pictures(float32.graph.input[0].name, pictures, progress)
            save_tensors_data(_measure(float32, reader, operators, Path(scratch)), ranges)
            source = onnx.ModelProto()
            source.CopyFrom(float32)  # the quantizer works in place
            quantize_static(
                source,
                target,
                None,
                calibration_cache_path=ranges,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=operators,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
            )
            return onnx.load(target)
    finally:
        logging.getLogger().removeFilter(_is_no_preprocessing_hint)


def _measure(
    float32: onnx.ModelProto, reader: _Pictures, operators: list[str], scratch: Path
) -> TensorsData:
    """Range of every tensor that ``operators`` read or write."""
    path = scratch / "float32.onnx"
    onnx.save(float32, path)
    calibrator = _Calibrator(path, operators, str(scratch / "augmented.onnx"))
    calibrator.augment_graph()
    calibrator.create_inference_session()
    calibrator.collect_data(reader)
    return calibrator.compute_data()


def _is_no_preprocessing_hint(record: logging.LogRecord) -> bool:
    """Batch normalization is folded before; the quantizer's hint to do so would mislead."""
    return "pre-process" not in record.getMessage()
