"""Activation ranges: what each tensor of a float32 TFLite graph spans on calibration pictures.

Measured in the runtime itself, so any operator will do. Minimum and maximum over all pictures
(Jacob et al. 2018, arXiv:1712.05877), or a range that clips rare values. Memory does not grow with
the number of pictures.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from converters.errors import ConversionError
from converters.quantization.choices import RangeMethod
from converters.quantization.clipping import choose_range, moving_average
from converters.quantization.histogram import Histogram
from converters.quantization.ranges import Range, not_finite


def measure_ranges(
    float32: bytes,
    pictures: np.ndarray,
    *,
    threads: int,
    method: RangeMethod = RangeMethod.MIN_MAX,
    progress: Callable[[int, int], None] | None = None,
) -> Mapping[str, Range]:
    """Run calibration pictures through a float32 TFLite graph and find every activation's range.

    Args:
        float32: The file, one float32 input of batch 1.
        pictures: Raw RGB, uint8 ``(count, height, width, 3)``, may be a memory map.
        threads: Threads of the interpreter.
        method: How a range follows from the values. All but the moving average are independent of
            the order of the pictures.
        progress: Called with pictures done and pictures in all.

    Returns:
        Ranges by tensor name. The input's range is [0, 255], whatever the pictures hold, so that a
        uint8 pixel is represented exactly.

    Raises:
        ConversionError: No pictures, or an activation is NaN or infinite.
    """
    if not len(pictures):
        raise ConversionError(
            "calibration: no pictures; expected at least one; pass --calibration DIR"
        )
    interpreter = _debug_interpreter(float32, threads)
    image = interpreter.get_input_details()[0]
    activations = _activations(interpreter)
    ranges: dict[str, Range] = {}
    histograms: dict[str, Histogram] = {}
    for done, picture in enumerate(pictures, start=1):
        interpreter.set_tensor(image["index"], picture[np.newaxis].astype(np.float32))
        interpreter.invoke()
        for name, index in activations:
            values = interpreter.get_tensor(index)
            seen = _range_of(name, values)
            match method:
                case RangeMethod.MIN_MAX:
                    ranges[name] = ranges[name].union(seen) if name in ranges else seen
                case RangeMethod.MOVING_AVERAGE:
                    ranges[name] = moving_average(ranges.get(name, seen), seen)
                case _:
                    one = Histogram.of(values)
                    histograms[name] = histograms[name].merge(one) if name in histograms else one
        if progress is not None:
            progress(done, len(pictures))
    ranges |= {name: choose_range(histogram, method) for name, histogram in histograms.items()}
    ranges[image["name"]] = Range(0.0, 255.0)
    return ranges


def _debug_interpreter(float32: bytes, threads: int) -> Interpreter:
    """An interpreter that keeps every intermediate tensor readable."""
    with warnings.catch_warnings():
        # It warns that this takes more memory; that is what is wanted here.
        warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors")
        interpreter = Interpreter(
            model_content=float32, num_threads=threads, experimental_preserve_all_tensors=True
        )
    interpreter.allocate_tensors()
    return interpreter


def _activations(interpreter: Interpreter) -> list[tuple[str, int]]:
    """Name and index of every float tensor that an operator computes; a name may come twice."""
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
