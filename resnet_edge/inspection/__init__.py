"""The inspection of a model file, by the file alone: TFLite, ONNX, SavedModel, Keras."""

from __future__ import annotations

from resnet_edge.inspection.inspection import Inspection, inspect_file
from resnet_edge.inspection.rows import inspection_rows

__all__ = ["Inspection", "inspect_file", "inspection_rows"]
