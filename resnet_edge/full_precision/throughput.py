"""Measures how many pictures a second a device answers in larger batches.

Standard library and NumPy only. Every batch is begun when the one before has been answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet_edge.ondevice.measurements import Throughput

CPU_BATCHES = (1, 8, 32)
"""Batch sizes on a processor, which a larger batch does not make faster."""

GPU_BATCHES = (1, 8, 32, 128)

MAX_SECONDS = 2.0
"""Of measuring, at most, for each batch size, warm-up left out."""

FEWEST = 3
"""Batches that are timed at least, whatever they take."""


@dataclass(frozen=True)
class ThroughputResult:
    """What was measured, and why not more."""

    throughputs: tuple[Throughput, ...]
    stopped: str = ""
    """Why the larger batches were left out; empty where none was."""


def measure_throughput(
    infer: Callable[[npt.NDArray[np.generic]], object],
    picture: npt.NDArray[np.generic],
    batches: Sequence[int],
    seconds: float,
    is_out_of_memory: Callable[[BaseException], bool],
    clock: Callable[[], float] = time.perf_counter,
) -> ThroughputResult:
    """Time batches of rising size until the memory is full.

    Two batches of each size come first and do not count: the one compiles, the other warms up.

    Args:
        infer: Answers a batch. It must return only when the answers are there.
        picture: ``(1, height, width, 3)``; repeated to fill the batches.
        batches: Sizes, rising.
        seconds: How long to measure each size, at most ``MAX_SECONDS`` and at least ``FEWEST``
            batches.
        is_out_of_memory: Whether an error means that; any other is raised.
        clock: Seconds of a clock that only goes forward.
    """
    measured: list[Throughput] = []
    for size in batches:
        try:
            batch = np.repeat(picture, size, axis=0)
            for _ in range(2):
                infer(batch)
            samples: list[float] = []
            while len(samples) < FEWEST or sum(samples) < min(seconds, MAX_SECONDS):
                start = clock()
                infer(batch)
                samples.append(clock() - start)
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise
            return ThroughputResult(tuple(measured), f"batch {size}: memory ran out")
        measured.append(Throughput(size, tuple(samples)))
    return ThroughputResult(tuple(measured))
