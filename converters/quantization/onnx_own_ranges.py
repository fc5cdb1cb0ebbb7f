"""int8.onnx of a network that cannot be written from its TFLite file: by onnxruntime's quantizer.

Ranges are the extremes on calibration pictures, weights have a step per channel, no bias is
corrected. Operators without integer kernels stay float.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from converters.errors import ModelConversionError
from converters.quantization.settings import Target, WeightGrid
from converters.quantization.tensor_range import not_finite

MOST_PICTURES = 256
"""Extremes hardly move after that many."""

CHECKED_PICTURES = 8
"""Pictures that the float model must answer with finite numbers."""

_WITH_KERNEL = ("Conv", "Gemm", "MatMul")


class _Pictures:
    """Calibration pictures in the form that the quantizer asks for."""

    def __init__(self, pictures: np.ndarray, name: str) -> None:
        self._name = name
        step = max(1, len(pictures) // MOST_PICTURES)
        self._pictures: Iterator[np.ndarray] = iter(pictures[::step])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch of one picture; None after the last."""
        picture = next(self._pictures, None)
        if picture is None:
            return None
        return {self._name: np.asarray(picture, np.float32)[np.newaxis]}


def quantize_on_own_ranges(
    float32: onnx.ModelProto, pictures: np.ndarray, target: Target
) -> onnx.ModelProto:
    """Quantize kernels and what they read and write.

    Args:
        float32: A model made by ``converters.onnx.conversion.convert_float32``.
        pictures: Calibration pictures, uint8 ``(count, height, width, 3)``.
        target: The processor that the file is for.

    Returns:
        The quantized model, float32 in and out.

    Raises:
        ModelConversionError: The quantizer refuses the model, or it does not answer finite numbers.
    """
    _check_answers(float32, pictures)
    signed = target is Target.ARM
    logging.getLogger().addFilter(_is_no_preprocessing_hint)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            shaped, result = Path(scratch) / "shaped.onnx", Path(scratch) / "int8.onnx"
            onnx.save(onnx.shape_inference.infer_shapes(float32), shaped)
            quantize_static(
                shaped,
                result,
                _Pictures(pictures, float32.graph.input[0].name),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_WITH_KERNEL),
                nodes_to_exclude=[_head(float32.graph)],
                per_channel=True,
                reduce_range=target.grid is WeightGrid.PAIR_SAFE,
                activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
            )
            return onnx.load(result)
    except Exception as problem:  # it has no error class of its own
        reason = str(problem).strip().partition("\n")[0]
        raise ModelConversionError(
            f"int8.onnx: onnxruntime cannot quantize this model: {reason}; leave int8.onnx out "
            "with --formats"
        ) from problem
    finally:
        logging.getLogger().removeFilter(_is_no_preprocessing_hint)


def _check_answers(float32: onnx.ModelProto, pictures: np.ndarray) -> None:
    session = onnxruntime.InferenceSession(
        float32.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    name = float32.graph.input[0].name
    for picture in pictures[:CHECKED_PICTURES]:
        (answer,) = session.run(None, {name: np.asarray(picture, np.float32)[np.newaxis]})
        if not np.isfinite(answer).all():
            raise not_finite(float32.graph.output[0].name)


def _head(graph: onnx.GraphProto) -> str:
    """Return the name of the last operator with a kernel, whose output are the logits."""
    names = [node.name for node in graph.node if node.op_type in _WITH_KERNEL]
    return str(names[-1]) if names else ""


def _is_no_preprocessing_hint(record: logging.LogRecord) -> bool:
    """Return False for the quantizer's hint to preprocess the model, which is done already."""
    return "pre-process" not in record.getMessage()
