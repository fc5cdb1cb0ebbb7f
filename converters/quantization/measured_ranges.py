"""Ranges of every tensor of a float32 TFLite file on calibration pictures.

They are measured in LiteRT, so any operator will do. A range is the minimum and maximum over all
pictures (Jacob et al. 2018, arXiv:1712.05877). Memory does not grow with the number of pictures.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from converters.atomic_file import write_atomically
from converters.errors import IntermediateFileError, RequestError
from converters.quantization.picture_pass import Arrays, Measure, Spread, run_here
from converters.quantization.tensor_range import Range, not_finite


@dataclass(frozen=True)
class MeasuredRanges:
    """Extremes of every tensor on some pictures. The memory does not grow with their number."""

    image: str
    """Name of the input."""
    extremes: Mapping[str, Range]
    """Smallest and largest value of every tensor, by its name."""

    def merge(self, other: MeasuredRanges) -> MeasuredRanges:
        """Add the ranges measured on other pictures, perhaps on another machine.

        Raises:
            IntermediateFileError: The other is of another model.
        """
        if self.extremes.keys() != other.extremes.keys():
            raise IntermediateFileError(
                f"calibration: ranges of {len(self.extremes)} tensors and of "
                f"{len(other.extremes)} cannot be merged; expected those of one model; measure "
                "them anew"
            )
        both = {name: span.union(other.extremes[name]) for name, span in self.extremes.items()}
        return MeasuredRanges(self.image, both)

    def ranges(self) -> dict[str, Range]:
        """Return the range of every tensor, by its name.

        That of the input is [0, 255] for any pictures, so that a uint8 pixel is exact.
        """
        return {**self.extremes, self.image: Range(0.0, 255.0)}


def measure_ranges(
    float32: bytes,
    pictures: np.ndarray,
    *,
    threads: int,
    parts: int = 1,
    spread: Spread = run_here,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[MeasuredRanges, ...]:
    """Run calibration pictures through a float32 TFLite file and measure every tensor's range.

    Args:
        float32: The file, one float32 input of batch 1.
        pictures: Raw RGB, uint8 ``(count, height, width, 3)``, may be a memory map.
        threads: Threads of the interpreter.
        parts: Number of parts that the pictures are dealt out to in turn.
        spread: Runs the pass.
        progress: Called with the number of pictures done and the number of all pictures.

    Returns:
        The ranges of every part that has a picture.

    Raises:
        RequestError: There are no pictures.
        ModelConversionError: An activation is NaN or infinite.
    """
    if not len(pictures):
        raise RequestError(
            "calibration: no pictures; expected at least one; pass --calibration DIR"
        )
    count, done = len(pictures), 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, count)

    dealt = [np.arange(start, count, parts) for start in range(min(parts, count))]
    found = spread(RangesPass(float32, threads), pictures, dealt, advance)
    return tuple(map(_unpack, found))


@dataclass(frozen=True)
class RangesPass:
    """Ranges of all tensors of a file.

    The statistics are the input's name, the tensors' names, their smallest and largest values.
    """

    float32: bytes
    threads: int
    title: str = "ranges"
    batch: int = 1

    def open(self) -> Measure:
        """See ``PicturePass``."""
        interpreter = _debug_interpreter(self.float32, self.threads)
        image = interpreter.get_input_details()[0]
        activations = _activations(interpreter)
        names = np.array(list(dict.fromkeys(name for name, _ in activations)))

        def measure(pictures: np.ndarray) -> Arrays:
            interpreter.set_tensor(image["index"], pictures.astype(np.float32))
            interpreter.invoke()
            found: dict[str, Range] = {}
            for name, index in activations:
                seen = _range_of(name, interpreter.get_tensor(index))
                found[name] = found[name].union(seen) if name in found else seen
            ends = np.array([(span.low, span.high) for span in found.values()])
            ends += 0.0  # no -0, whose place among zeros depends on the order
            return np.array(image["name"]), names, ends[:, 0], ends[:, 1]

        return measure

    def merge(self, first: Arrays, second: Arrays) -> Arrays:
        """See ``PicturePass``."""
        image, names, low, high = first
        return image, names, np.minimum(low, second[2]), np.maximum(high, second[3])


def _unpack(arrays: Arrays) -> MeasuredRanges:
    image, names, low, high = (array.tolist() for array in arrays)
    spans = map(Range, low, high)
    return MeasuredRanges(image, dict(zip(names, spans, strict=True)))


def save_measured(path: Path, measured: MeasuredRanges) -> None:
    """Write measured ranges as JSON, for another machine to merge."""
    record = {
        "image": measured.image,
        "extremes": {name: [span.low, span.high] for name, span in measured.extremes.items()},
    }
    write_atomically(path, json.dumps(record).encode())


def load_measured(path: Path) -> MeasuredRanges:
    """Return the ranges that ``save_measured`` wrote.

    Raises:
        IntermediateFileError: The file is missing or damaged.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.keys() != {"image", "extremes"}:
            raise ValueError(f"the keys are {', '.join(record)}; expected image and extremes")
        return MeasuredRanges(
            str(record["image"]),
            {name: Range(*map(float, ends)) for name, ends in record["extremes"].items()},
        )
    except Exception as problem:  # a damaged file leads json and the records to any
        raise IntermediateFileError(
            f"{path}: cannot be read as measured ranges ({problem}); measure them anew"
        ) from problem


def _debug_interpreter(float32: bytes, threads: int) -> Interpreter:
    """Return an interpreter that keeps every intermediate tensor readable."""
    with warnings.catch_warnings():
        # It warns that this takes more memory, which is intended here.
        warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors")
        interpreter = Interpreter(
            model_content=float32, num_threads=threads, experimental_preserve_all_tensors=True
        )
    interpreter.allocate_tensors()
    return interpreter


def _activations(interpreter: Interpreter) -> list[tuple[str, int]]:
    """Return name and index of every computed float tensor. A name may come twice."""
    computed = {
        int(index)
        for operator in interpreter._get_ops_details()
        if operator["op_name"] != "DELEGATE"
        for index in operator["outputs"]
    }
    return [
        (detail["name"], detail["index"])
        for detail in interpreter.get_tensor_details()
        if detail["index"] in computed and detail["dtype"] == np.float32
    ]


def _range_of(name: str, values: np.ndarray) -> Range:
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise not_finite(name)
    return Range(low, high)
