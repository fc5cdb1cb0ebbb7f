"""The writers of the formats: one row each."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from resnet_edge.ondevice.formats.kinds import Format
from resnet_edge.ondevice.versions import version_of

QUANTIZING = Format.TFLITE
"""The format whose worker makes the quantization that all integer artifacts share."""


@dataclass(frozen=True)
class Writer:
    """The writer of one format."""

    function: str
    """``module:function``, imported in the worker alone: it takes an ``ExportJob``, the
    ``ServingGraph`` and a ``Reporter``."""
    packages: tuple[str, ...] = ()
    """The packages whose versions sidecars record, beside TensorFlow and Keras."""


WRITERS: Mapping[Format, Writer] = {
    Format.SAVED_MODEL: Writer("resnet_edge.exporting.write_saved_model:write_saved_model"),
    Format.TFLITE: Writer(
        "resnet_edge.exporting.write_tflite:write_tflite", ("litert-quantizer", "ai-edge-litert")
    ),
    Format.ONNX: Writer(
        "resnet_edge.exporting.write_onnx:write_onnx", ("tf2onnx", "onnx", "onnxruntime")
    ),
}


def load_writer(format_: Format) -> Callable[..., None]:
    """Return the function that writes a format, with the packages that it needs imported."""
    module, _, name = WRITERS[format_].function.partition(":")
    function: Callable[..., None] = getattr(importlib.import_module(module), name)
    return function


def tool_versions(format_: Format) -> dict[str, str]:
    """Return the versions of the packages that make a format, for sidecars."""
    packages = ("resnet-edge", "tensorflow", "keras", *WRITERS[format_].packages)
    return {package: version_of(package) for package in packages}
