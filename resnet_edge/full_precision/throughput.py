"""Measures throughput: the pictures that a device answers in a second, in larger batches.

Needs NumPy alone. A batch begins when the one before has been answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet_edge.ondevice.measurements import Throughput

CPU_BATCHES = (1, 8, 32)
"""Batch sizes on a processor, where larger batches gain nothing."""

GPU_BATCHES = (1, 8, 32, 128)

MAX_SECONDS = 2.0
"""Longest measurement of one batch size, without its warm-up."""

FEWEST = 3
"""Fewest batches that are timed, however long they take."""


@dataclass(frozen=True)
class ThroughputResult:
    """The throughput of each batch size that fits."""

    throughputs: tuple[Throughput, ...]
    stopped: str = ""
    """The reason why larger batches are missing; empty where none is."""


def measure_throughput(
    infer: Callable[[npt.NDArray[np.generic]], object],
    picture: npt.NDArray[np.generic],
    batches: Sequence[int],
    seconds: float,
    is_out_of_memory: Callable[[BaseException], bool],
    clock: Callable[[], float] = time.perf_counter,
) -> ThroughputResult:
    """Time batches of rising size until the memory is full.

    The first two batches of each size do not count: one compiles, the other warms up.

    Args:
        infer: Answers a batch. It must return only when the answers are there.
        picture: ``(1, height, width, 3)``; repeated to fill the batches.
        batches: Sizes, rising.
        seconds: Duration for each size; at most ``MAX_SECONDS``, but at least ``FEWEST`` batches.
        is_out_of_memory: Returns True if an error means that memory ran out; others are raised.
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
