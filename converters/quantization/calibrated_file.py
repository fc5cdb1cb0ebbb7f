"""Storing a calibrated network in a file for another process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from converters.array_file import read_arrays, write_arrays
from converters.errors import IntermediateFileError
from converters.quantization.bias_correction import FloatOutputs
from converters.quantization.calibrated_network import (
    CalibratedNetwork,
    EqualizationFigures,
    Examined,
    FloatFallback,
    HeldOutAnswers,
    TrainingFigures,
)
from converters.quantization.scheme import Scheme
from converters.quantization.settings import WeightGrid
from converters.quantization.tensor_range import Range
from converters.quantization.tflite_network import Parameters, read_network


def save_calibrated(path: Path, float32: bytes, calibrated: CalibratedNetwork) -> None:
    """Write a float file and its calibrated network to one file, for another process."""
    scheme, float_outputs, figures = calibrated.scheme, calibrated.float_outputs, calibrated.figures
    arrays: dict[str, np.ndarray] = {"float32": np.frombuffer(float32, np.uint8)}
    for index, p in scheme.parameters.items():
        arrays[f"kernel_{index}"], arrays[f"bias_{index}"] = p.kernel, p.bias
        exact = calibrated.float_parameters[index]
        arrays[f"float_bias_{index}"] = exact.bias
        if not np.array_equal(exact.kernel, p.kernel):
            arrays[f"float_kernel_{index}"] = exact.kernel
    for name, outputs in (("float", float_outputs), ("trained", calibrated.trained_outputs)):
        if outputs is not None:
            arrays[f"{name}_outputs_logits"] = outputs.logits
            arrays |= {f"{name}_outputs_{index}": m for index, m in outputs.means.items()}
    record = {
        "layers": [operation.layer for operation in calibrated.network.operations],
        "ranges": ranges_record(scheme.ranges),
        "float_operations": sorted(scheme.float_operations),
        "grid": scheme.grid,
        "weight_only": sorted(scheme.weight_only),
        "has_float_head": scheme.has_float_head,
        "unstable": calibrated.unstable,
        "figures": None if figures is None else asdict(figures),
        "notes": calibrated.notes,
        "fallback": None if calibrated.fallback is None else _fallback_record(calibrated.fallback),
        "training": None if calibrated.training is None else asdict(calibrated.training),
        "wide_ranges": None
        if calibrated.wide_ranges is None
        else ranges_record(calibrated.wide_ranges),
    }
    write_arrays(path, arrays, record)


def ranges_record(ranges: Mapping[int, Range]) -> dict[str, list[float]]:
    """Return ranges as JSON takes them."""
    return {str(tensor): [span.low, span.high] for tensor, span in ranges.items()}


def load_calibrated(path: Path) -> tuple[bytes, CalibratedNetwork]:
    """Return the float file and the calibrated network that ``save_calibrated`` wrote.

    Raises:
        IntermediateFileError: The file is missing or damaged.
    """
    try:
        return _load(path)
    except Exception as problem:  # a damaged file leads zipfile, NumPy and the schema to any
        raise IntermediateFileError(
            f"{path}: cannot be read as a quantization ({problem}); remove it and export again"
        ) from problem


def _load(path: Path) -> tuple[bytes, CalibratedNetwork]:
    arrays, record = read_arrays(path)
    float32 = bytes(arrays["float32"])
    network = read_network(float32, set(record["layers"]))
    parameters, float_parameters = {}, {}
    for i in (operation.index for operation in network.weighted):
        kernel = arrays[f"kernel_{i}"]
        exact = arrays.get(f"float_kernel_{i}", kernel)
        parameters[i] = Parameters(kernel, arrays[f"bias_{i}"])
        float_parameters[i] = Parameters(exact, arrays[f"float_bias_{i}"])
    float_outputs, trained_outputs = (
        _outputs(arrays, name, parameters.keys()) for name in ("float", "trained")
    )
    ranges = ranges_of(record["ranges"])
    wide = None if record["wide_ranges"] is None else ranges_of(record["wide_ranges"])
    kept, grid = frozenset(record["float_operations"]), WeightGrid(record["grid"])
    figures = None if record["figures"] is None else EqualizationFigures(**record["figures"])
    unstable, notes = tuple(record["unstable"]), tuple(record["notes"])
    fallback = None if record["fallback"] is None else _fallback(record["fallback"])
    stored, has_float_head = frozenset(record["weight_only"]), record["has_float_head"]
    scheme = Scheme(parameters, ranges, kept, grid, stored, has_float_head)
    return float32, CalibratedNetwork(
        network,
        scheme,
        float_parameters,
        unstable,
        figures,
        float_outputs,
        wide,
        notes,
        fallback,
        None if record["training"] is None else _training(record["training"]),
        trained_outputs,
    )


def _fallback_record(fallback: FloatFallback) -> dict[str, Any]:
    return {**asdict(fallback), "operations": sorted(fallback.operations)}


def _fallback(record: Mapping[str, Any]) -> FloatFallback:
    return FloatFallback(
        **{
            **record,
            "layers": tuple(record["layers"]),
            "operations": frozenset(record["operations"]),
            "integer": HeldOutAnswers(**record["integer"]),
            "mixed": HeldOutAnswers(**record["mixed"]),
        }
    )


def _outputs(
    arrays: Mapping[str, np.ndarray], name: str, operations: Iterable[int]
) -> FloatOutputs | None:
    if f"{name}_outputs_logits" not in arrays:
        return None
    found = {i: arrays[key] for i in operations if (key := f"{name}_outputs_{i}") in arrays}
    return FloatOutputs(found, arrays[f"{name}_outputs_logits"])


def _training(record: Mapping[str, Any]) -> TrainingFigures:
    before, after = (Examined(**record[name]) for name in ("before", "after"))
    return TrainingFigures(before, after, record["pictures"])


def ranges_of(record: Mapping[str, tuple[float, float]]) -> dict[int, Range]:
    """Return the ranges of a record."""
    return {int(tensor): Range(*ends) for tensor, ends in record.items()}
