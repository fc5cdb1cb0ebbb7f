"""The exported files that there are: one row each."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from resnet_edge.errors import ArtifactError


class Format(enum.Enum):
    """File format."""

    SAVED_MODEL = "saved_model"
    TFLITE = "tflite"
    ONNX = "onnx"


class Precision(enum.Enum):
    """Precision of weights and, for integer artifacts, of the computation."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"
    INT16X8 = "int16x8"


class Quantization(enum.Enum):
    """Which kind of quantization an artifact has."""

    NONE = "none"
    FLOAT16_WEIGHTS = "float16 weights"
    DYNAMIC = "dynamic range: int8 weights, activations quantized at run time"
    STATIC = "static: int8 weights and activations, float softmax"
    INTEGER_ONLY = "integer only: int8 weights, activations and softmax"
    INT16_ACTIVATIONS = "static: int8 weights, int16 activations, float softmax"


@dataclass(frozen=True)
class ArtifactKind:
    """One of the files that ``export`` can make."""

    name: str
    format: Format
    precision: Precision
    quantization: Quantization
    input_dtype: str
    output_dtype: str
    by_default: bool = True
    """False for an artifact that is made only on request."""

    @property
    def calibrated(self) -> bool:
        """Whether making it needs calibration pictures."""
        return self.quantization in (
            Quantization.STATIC,
            Quantization.INTEGER_ONLY,
            Quantization.INT16_ACTIVATIONS,
        )


_F, _P, _Q = Format, Precision, Quantization
ARTIFACT_KINDS = (
    ArtifactKind("saved_model", _F.SAVED_MODEL, _P.FLOAT32, _Q.NONE, "float32", "float32"),
    ArtifactKind("fp32.tflite", _F.TFLITE, _P.FLOAT32, _Q.NONE, "float32", "float32"),
    ArtifactKind("fp16.tflite", _F.TFLITE, _P.FLOAT16, _Q.FLOAT16_WEIGHTS, "float32", "float32"),
    ArtifactKind("dynamic.tflite", _F.TFLITE, _P.INT8, _Q.DYNAMIC, "float32", "float32"),
    ArtifactKind("int8.tflite", _F.TFLITE, _P.INT8, _Q.STATIC, "uint8", "float32"),
    ArtifactKind("int8_full.tflite", _F.TFLITE, _P.INT8, _Q.INTEGER_ONLY, "uint8", "uint8"),
    ArtifactKind(  # nothing runs it fast on a CPU
        *("int16x8.tflite", _F.TFLITE, _P.INT16X8, _Q.INT16_ACTIVATIONS, "float32", "float32"),
        by_default=False,
    ),
    ArtifactKind("fp32.onnx", _F.ONNX, _P.FLOAT32, _Q.NONE, "float32", "float32"),
    ArtifactKind("fp16.onnx", _F.ONNX, _P.FLOAT16, _Q.FLOAT16_WEIGHTS, "float32", "float32"),
    ArtifactKind("int8.onnx", _F.ONNX, _P.INT8, _Q.STATIC, "uint8", "float32"),
)
"""Every artifact in the order of the tables."""

ARTIFACT_NAMES = tuple(kind.name for kind in ARTIFACT_KINDS)

DEFAULT_NAMES = tuple(kind.name for kind in ARTIFACT_KINDS if kind.by_default)
"""The artifacts that are made where none are asked for by name."""


def artifact_kind(name: str) -> ArtifactKind:
    """Return the kind called ``name``.

    Raises:
        ArtifactError: There is no artifact of that name.
    """
    for kind in ARTIFACT_KINDS:
        if kind.name == name:
            return kind
    raise ArtifactError(f"{name}: no such artifact; expected one of {', '.join(ARTIFACT_NAMES)}")
