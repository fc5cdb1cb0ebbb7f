"""The readers of model files: one row for each kind of file."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.errors import RuntimeMissingError
from resnet_edge.inspection.contents import Contents
from resnet_edge.ondevice.formats.kinds import Format


@dataclass(frozen=True)
class Reader:
    """The reader of one kind of file; it does not run the file."""

    function: str
    """``module:function`` that takes a path; each imports the package of its own format alone."""
    packages: str
    """The arguments of ``pip install`` that it needs."""
    format: Format | None = None
    """None for a model, which is no exported file and has no sidecar."""
    model_title: str = ""
    model_suffix: str = ""

    @property
    def title(self) -> str:
        """The kind of file, for people."""
        return self.model_title if self.format is None else self.format.traits.title

    @property
    def suffix(self) -> str:
        """The file name's ending; empty for a folder."""
        return self.model_suffix if self.format is None else self.format.traits.suffix

    def read(self, path: Path) -> Contents:
        """Read a file of this kind.

        Raises:
            ArtifactError: The file is truncated or garbage.
            RuntimeMissingError: The package that reads it is not installed.
        """
        module, _, name = self.function.partition(":")
        try:
            function: Callable[[Path], Contents] = getattr(importlib.import_module(module), name)
            return function(path)
        except ImportError as problem:
            raise RuntimeMissingError(
                f"{path}: reading {self.title} needs a package that is not installed ({problem}); "
                f"run `pip install {self.packages}`"
            ) from problem


_HERE = "resnet_edge.inspection"

READERS = (
    Reader(f"{_HERE}.tflite:read_tflite", "ai-edge-litert", Format.TFLITE),
    Reader(f"{_HERE}.onnx:read_onnx", "onnx", Format.ONNX),
    Reader(f"{_HERE}.saved_model:read_saved_model", "tensorflow", Format.SAVED_MODEL),
    Reader(
        f"{_HERE}.keras_model:read_keras_model",
        "keras h5py",
        model_title="Keras model",
        model_suffix=".keras",
    ),
    Reader(
        f"{_HERE}.keras_h5:read_keras_h5",
        "h5py",
        model_title="Keras model (HDF5)",
        model_suffix=".h5",
    ),
)
"""Every kind of file; ``SAVED_MODEL`` is the one that is a folder."""
