"""``resnet-edge inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from resnet_edge.cli.binding import Argument
from resnet_edge.cli.console import Json, print_json, print_rows

File = Annotated[
    Path, Argument("A .tflite, .onnx, .keras or .h5 file, or a SavedModel folder.", "FILE")
]


def inspect(file: File, as_json: Json = False) -> None:
    """Show what is in a file: input and output, operators, quantization, labels, hashes."""
    from resnet_edge.inspection import inspection_rows
    from resnet_edge.steps import inspect as step

    inspection = step.inspect(file)
    print_json(inspection) if as_json else print_rows(inspection_rows(inspection))
