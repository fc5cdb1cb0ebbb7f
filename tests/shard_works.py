"""Works that processes of tests compute: they have to be found by name from other processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnet_edge.errors import DataError
from resnet_edge.scale.stage import Made, Make, Stage


@dataclass(frozen=True)
class Squares:
    """Squares of whole numbers, with mishaps on the way."""

    seconds: float = 0.0
    """That each shard takes."""
    kill_at: int | None = None
    """The first item of the shard whose process is killed."""
    killed: Path | None = None
    """It is killed only until this file is there; None kills it each time."""
    poisoned: int | None = None
    """An item that cannot be computed."""
    maker: str = "squares 1"
    huge: int = 0
    """Bytes that a shard takes in memory on the way."""
    repeat: int = 1
    """Times that a shard's numbers are in its result."""

    def open(self) -> Make:
        def make(span: tuple[int, int]) -> Made:
            start, stop = span
            time.sleep(self.seconds)
            if start == self.kill_at and not (self.killed and self.killed.exists()):
                if self.killed:
                    self.killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if self.poisoned is not None and start <= self.poisoned < stop:
                raise DataError(f"item {self.poisoned}: a poisoned picture; remove it")
            ballast = np.ones(self.huge, np.uint8)
            numbers = np.arange(start, stop, dtype="<i8") ** 2
            return Made(
                numbers.tobytes() * self.repeat, f"{self.maker}{'' if ballast.all() else '?'}"
            )

        return make


@dataclass(frozen=True)
class Unopened:
    """Ends every process that opens it."""

    def open(self) -> Make:
        os.kill(os.getpid(), signal.SIGSEGV)
        raise AssertionError("alive")


@dataclass(frozen=True)
class Maker:
    """Tells another maker for each shard."""

    def open(self) -> Make:
        return lambda span: Made(bytes(span[1] - span[0]), f"versions of {span[0]}")


def span_of(start: int, stop: int) -> object:
    return start, stop


def stage_of(
    folder: Path,
    work: object,
    items: int = 300,
    key: str = "k",
    job: Callable[[int, int], object] = span_of,
    title: str = "squares",
) -> Stage:
    return Stage(title, key, work, items, job, folder / title)  # type: ignore[arg-type]


def squares(count: int) -> bytes:
    return b"".join((number * number).to_bytes(8, "little") for number in range(count))
