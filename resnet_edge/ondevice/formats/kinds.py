"""The exported files and their formats: one row each, in two tables.

A new format is one row of ``FORMATS``, one of ``exporting.writers``, one of ``inspection.readers``
and one of ``runtimes.kinds`` for each runtime; a test fails where one is missing.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from resnet_edge.errors import ArtifactError


class Format(enum.Enum):
    """File format."""

    SAVED_MODEL = "saved_model"
    TFLITE = "tflite"
    ONNX = "onnx"

    @property
    def traits(self) -> FormatTraits:
        """The format's row."""
        return FORMATS[self]


@dataclass(frozen=True)
class FormatTraits:
    """Properties of a file format."""

    title: str
    suffix: str
    """Empty for a format that is a folder."""
    on_devices: bool
    """True if device bundles carry it: it is a single file and has a runtime for devices."""
    batch: int | None
    """Pictures of one inference in the files that ``export`` makes; None where that is free."""
    marker: str
    """Its mark in plots, by matplotlib's names."""

    @property
    def files(self) -> str:
        """The format's files in a sentence, for instance ``.tflite files``."""
        return f"{self.suffix} files" if self.suffix else self.title


FORMATS: Mapping[Format, FormatTraits] = {
    Format.SAVED_MODEL: FormatTraits("SavedModel", "", on_devices=False, batch=None, marker="s"),
    Format.TFLITE: FormatTraits("TFLite", ".tflite", on_devices=True, batch=1, marker="o"),
    Format.ONNX: FormatTraits("ONNX", ".onnx", on_devices=True, batch=None, marker="^"),
}
"""Every format in the order of the tables."""


class Precision(enum.Enum):
    """Precision of weights and, for integer artifacts, of the computation."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"
    INT16X8 = "int16x8"


class Quantization(enum.Enum):
    """Kind of quantization of an artifact."""

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
    default: bool = True
    """False if ``export`` makes it on request only."""

    @property
    def calibrated(self) -> bool:
        """True if making it needs calibration pictures."""
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
        default=False,
    ),
    ArtifactKind("fp32.onnx", _F.ONNX, _P.FLOAT32, _Q.NONE, "float32", "float32"),
    ArtifactKind("fp16.onnx", _F.ONNX, _P.FLOAT16, _Q.FLOAT16_WEIGHTS, "float32", "float32"),
    ArtifactKind("int8.onnx", _F.ONNX, _P.INT8, _Q.STATIC, "uint8", "float32"),
)
"""Every artifact in the order of the tables."""

ARTIFACT_NAMES = tuple(kind.name for kind in ARTIFACT_KINDS)

DEFAULT_NAMES = tuple(kind.name for kind in ARTIFACT_KINDS if kind.default)
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
