"""The contents of a model file."""

from __future__ import annotations

from pathlib import Path

from resnet_edge.inspection import Inspection, inspect_file
from resnet_edge.options import StrPath


def inspect(file: StrPath) -> Inspection:
    """Read what is in a model file, without running it.

    Args:
        file: A ``.tflite``, ``.onnx`` or ``.keras`` file, or a SavedModel folder; anybody's.

    Raises:
        UsageError: There is no such file, or it is of another kind.
        ResnetEdgeError: It is damaged.
    """
    return inspect_file(Path(file))
