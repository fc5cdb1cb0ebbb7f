from __future__ import annotations

import numpy as np
import pytest

from resnet_edge.errors import UsageError
from resnet_edge.full_precision.inference import is_out_of_memory
from resnet_edge.full_precision.throughput import (
    ThroughputResult,
    measure_throughput,
)
from resnet_edge.ondevice.latency.counts import parse_batches
from resnet_edge.ondevice.measurements import Throughput

PICTURE = np.ones((1, 2, 2, 3), np.float32)


class Device:
    """A clock that goes on by a second a picture, and a memory for so many pictures."""

    def __init__(self, holds: int, error: Exception | None = None) -> None:
        self.now, self.holds, self.error = 0.0, holds, error or MemoryError()
        self.seen: list[int] = []

    def infer(self, batch: np.ndarray) -> None:
        assert (batch == 1).all()
        self.seen.append(len(batch))
        if len(batch) > self.holds:
            raise self.error
        self.now += len(batch)


def measure(device: Device, *batches: int, seconds: float = 0.0) -> ThroughputResult:
    return measure_throughput(
        device.infer, PICTURE, batches, seconds, is_out_of_memory, lambda: device.now
    )


def test_two_batches_warm_up_and_three_are_timed():
    device = Device(holds=100)
    found = measure(device, 1, 8)
    assert device.seen == [1] * 5 + [8] * 5
    assert found == ThroughputResult((Throughput(1, (1.0,) * 3), Throughput(8, (8.0,) * 3)))
    assert [t.pictures_per_s for t in found.throughputs] == [1, 1]
    assert found.throughputs[1].batch_s == 8


def test_as_long_as_was_asked_but_two_seconds_at_most():
    class Quick(Device):
        def infer(self, batch: np.ndarray) -> None:
            self.now += 0.25

    assert len(measure(Quick(9), 1, seconds=1.0).throughputs[0].samples_s) == 4
    assert len(measure(Quick(9), 1, seconds=60.0).throughputs[0].samples_s) == 8


class OutOfMemoryError(RuntimeError):  # PyTorch's, by name
    pass


class ResourceExhaustedError(Exception):  # TensorFlow's, by name
    pass


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        ResourceExhaustedError("OOM when allocating tensor"),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 bytes."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_full_memory_ends_it_and_keeps_what_was_measured(error):
    device = Device(holds=8, error=error)
    found = measure(device, 1, 8, 32, 128)
    assert [t.batch for t in found.throughputs] == [1, 8]
    assert found.stopped == "batch 32: memory ran out"
    assert device.seen[-1] == 32


def test_any_other_error_is_raised():
    with pytest.raises(RuntimeError, match="device lost"):
        measure(Device(holds=0, error=RuntimeError("device lost")), 1)


def test_batches_are_parsed():
    assert parse_batches("32, 1,8,8") == (1, 8, 32)
    for text in ("", "0", "a", "1,-8", "1.5", "5000", "²"):
        with pytest.raises(UsageError) as caught:
            parse_batches(text)
        assert str(caught.value) == (
            f"--batches: got {text!r}; expected batch sizes from 1 to 4096, separated by commas"
        )


@pytest.mark.parametrize("samples", [(), (0.0,), (float("nan"),), (float("inf"),)])
def test_a_throughput_is_of_positive_seconds(samples):
    with pytest.raises(ValueError, match="throughput with"):
        Throughput(1, samples)
