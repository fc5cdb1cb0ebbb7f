"""The quantization engine's front door: a float file and pictures in, one quantization out.

What comes out is written by ``converters.quantization.tflite`` and ``converters.quantization.onnx``
alike, so that both files hold the same weights and round in the same ranges.
"""

from __future__ import annotations

import fnmatch
import io
import json
import zipfile
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from functools import reduce
from pathlib import Path

import numpy as np

from converters.errors import IntermediateFileError, RequestError
from converters.quantization.calibrated import (
    Calibrated,
    Figures,
    Progress,
    calibrate_equalized,
    share_ranges,
    unstable_ranges,
)
from converters.quantization.choices import FEWEST_PICTURES, Level, RangeMethod, WeightGrid
from converters.quantization.measuring import Measured, measure_ranges
from converters.quantization.network import Network, Parameters, read_network
from converters.quantization.ranges import Range
from converters.quantization.rounding import widened
from converters.quantization.simulation import Aim, Scheme
from converters.whole_file import write_whole


@dataclass(frozen=True)
class Method:
    """What the engine is told."""

    level: Level = Level.EQUALIZED
    range_method: RangeMethod = RangeMethod.MIN_MAX
    """Of ``fast``; the other levels have their own ranges."""
    keep_float: tuple[str, ...] = ()
    """Keras layers that compute in float, as globs: ``conv5_*``."""
    grid: WeightGrid = WeightGrid.FULL
    """What weights are rounded to, in all files."""
    few_pictures: bool = False
    """Whether fewer than ``FEWEST_PICTURES`` pictures are accepted."""

    def __post_init__(self) -> None:
        if self.level is not Level.FAST and self.range_method is not RangeMethod.MIN_MAX:
            raise RequestError(
                f"range method {self.range_method} with level {self.level}: only level fast takes "
                "one; the others choose ranges by the answers"
            )


def _silent(stage: str, done: int, total: int, words: str) -> None:
    """Show no progress."""


def calibrate(
    float32: bytes,
    pictures: np.ndarray,
    method: Method,
    layers: Collection[str] = (),
    *,
    threads: int = 1,
    progress: Progress = _silent,
) -> Calibrated:
    """Decide what is rounded and how.

    Args:
        float32: The float32 TFLite file.
        pictures: Raw RGB, uint8 ``(count, height, width, 3)``, may be a memory map.
        method: The level and its options.
        layers: Names of the Keras model's layers, by which operators are known.
        threads: Of the interpreter that ``fast`` measures with.
        progress: Called with stage, done, total and the figures so far in words.

    Raises:
        ConversionError: Too few pictures, activations that are not finite, a name to keep in float
            that no layer has, or an operator that cannot be simulated.
    """
    check_pictures(pictures, method)
    network = read_network(float32, layers)
    kept = network.head | operations_of(network, method.keep_float)
    match method.level:
        case Level.FAST:
            return _calibrate_fast(float32, network, pictures, kept, method, threads, progress)
        case Level.EQUALIZED:
            return calibrate_equalized(network, pictures, kept, method.grid, progress)
        case Level.DISTILLED:
            from converters.quantization.distillation import distill

            start = calibrate_equalized(network, pictures, kept, method.grid, progress)
            return distill(start, pictures, progress)


def for_int16_activations(calibrated: Calibrated, pictures: np.ndarray) -> Scheme:
    """The scheme with biases for rounded weights alone.

    With 16 bits activations lose nothing that matters, so what was corrected for their rounding
    would be wrong. Weights are the float function's: those of ``distilled`` make up for a rounding
    of activations that is not there. Such a file has no ONNX counterpart, so all 8 bits are used.
    """
    scheme = replace(calibrated.scheme, parameters=calibrated.reference, grid=WeightGrid.FULL)
    return calibrated.corrected(pictures, scheme, activation_bits=16)


def check_pictures(pictures: np.ndarray, method: Method) -> None:
    """Refuse too few calibration pictures.

    Raises:
        RequestError: There are none, or fewer than ``FEWEST_PICTURES`` without ``few_pictures``.
    """
    if not len(pictures):
        raise RequestError(
            "calibration: no pictures; expected at least one; pass --calibration DIR"
        )
    if len(pictures) < FEWEST_PICTURES and not method.few_pictures:
        raise RequestError(
            f"calibration: {len(pictures)} pictures; expected at least {FEWEST_PICTURES}: ranges "
            "of fewer say little about other pictures; add some, or pass --few-pictures"
        )


def operations_of(network: Network, patterns: Collection[str]) -> frozenset[int]:
    """Operators of the layers whose names fit the globs, by index.

    Raises:
        RequestError: A glob matches no layer.
    """
    found = set()
    for pattern in patterns:
        fitting = [op.index for op in network.operations if fnmatch.fnmatch(op.layer, pattern)]
        if not fitting:
            names = ", ".join(dict.fromkeys(op.layer for op in network.weighted))
            raise RequestError(
                f"--keep-float: no layer fits {pattern!r}; expected globs of Keras names: {names}"
            )
        found.update(fitting)
    return frozenset(found)


def _calibrate_fast(
    float32: bytes,
    network: Network,
    pictures: np.ndarray,
    kept: frozenset[int],
    method: Method,
    threads: int,
    progress: Progress,
) -> Calibrated:
    def advance(done: int, total: int) -> None:
        progress("calibrating", done, total, "")

    averages = method.range_method is RangeMethod.MOVING_AVERAGE
    halves = measure_ranges(
        float32,
        pictures,
        method=method.range_method,
        parts=1 if averages else 2,
        threads=threads,
        progress=advance,
    )
    tensors = {name: index for index, name in enumerate(network.names)}
    ranges = {
        tensors[name]: widened(span)
        for name, span in reduce(Measured.merge, halves).ranges().items()
    }
    first, second = halves[0].ranges(), halves[-1].ranges()
    spans = {tensors[name]: (first[name], second[name]) for name in first}
    return Calibrated(
        network,
        Scheme(network.parameters, share_ranges(network, ranges), kept, method.grid),
        reference=network.parameters,
        unstable=unstable_ranges(network, spans),
    )


def save_calibrated(path: Path, float32: bytes, calibrated: Calibrated) -> None:
    """Write a quantization beside the float file it is of, so that another process can go on."""
    scheme, aim, figures = calibrated.scheme, calibrated.aim, calibrated.figures
    arrays: dict[str, np.ndarray] = {"float32": np.frombuffer(float32, np.uint8)}
    for index, p in scheme.parameters.items():
        arrays[f"kernel_{index}"], arrays[f"bias_{index}"] = p.kernel, p.bias
        exact = calibrated.reference[index]
        arrays[f"reference_bias_{index}"] = exact.bias
        if not np.array_equal(exact.kernel, p.kernel):
            arrays[f"reference_kernel_{index}"] = exact.kernel
    if aim is not None:
        arrays["aim_logits"] = aim.logits
        arrays |= {f"aim_{index}": means for index, means in aim.means.items()}
    record = {
        "layers": [operation.layer for operation in calibrated.network.operations],
        "ranges": {str(t): [r.low, r.high] for t, r in scheme.ranges.items()},
        "float_operations": sorted(scheme.float_operations),
        "grid": scheme.grid,
        "unstable": calibrated.unstable,
        "figures": None if figures is None else asdict(figures),
    }
    arrays["record"] = np.frombuffer(json.dumps(record).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_whole(path, buffer.getbuffer())


def load_calibrated(path: Path) -> tuple[bytes, Calibrated]:
    """Read what ``save_calibrated`` wrote: the float file and its quantization.

    Raises:
        IntermediateFileError: The file is missing or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            record = json.loads(bytes(arrays["record"]))
            float32 = bytes(arrays["float32"])
            network = read_network(float32, set(record["layers"]))
            parameters, reference, means = {}, {}, {}
            for i in (operation.index for operation in network.weighted):
                kernel = arrays[f"kernel_{i}"]
                exact = arrays.get(f"reference_kernel_{i}", kernel)
                parameters[i] = Parameters(kernel, arrays[f"bias_{i}"])
                reference[i] = Parameters(exact, arrays[f"reference_bias_{i}"])
                if f"aim_{i}" in arrays:
                    means[i] = arrays[f"aim_{i}"]
            aim = Aim(means, arrays["aim_logits"]) if "aim_logits" in arrays else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as problem:
        raise IntermediateFileError(
            f"{path}: cannot be read as a quantization ({problem}); remove it and export again"
        ) from problem
    ranges = {int(tensor): Range(*ends) for tensor, ends in record["ranges"].items()}
    kept, grid = frozenset(record["float_operations"]), WeightGrid(record["grid"])
    figures = None if record["figures"] is None else Figures(**record["figures"])
    unstable = tuple(record["unstable"])
    scheme = Scheme(parameters, ranges, kept, grid)
    return float32, Calibrated(network, scheme, reference, unstable, figures, aim)
