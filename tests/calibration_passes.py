"""Passes over pictures that processes of tests run: they have to be found by name."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.errors import ModelConversionError
from converters.quantization.picture_pass import Arrays, Measure, PicturePass


@dataclass(frozen=True)
class Mishap:
    """A pass whose process is killed once, in the middle of a batch."""

    work: PicturePass
    killed: Path
    """Is made on the way."""
    place: int
    """The batch begins with this level."""

    @property
    def title(self) -> str:
        return self.work.title

    @property
    def batch(self) -> int:
        return self.work.batch

    def open(self) -> Measure:
        measure = self.work.open()

        def until_killed(pictures: np.ndarray) -> Arrays:
            if pictures[0, 0, 0, 0] == self.place and not self.killed.exists():
                self.killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return measure(pictures)

        return until_killed

    def merge(self, first: Arrays, second: Arrays) -> Arrays:
        return self.work.merge(first, second)


@dataclass(frozen=True)
class Levels:
    """Smallest and largest level of the pictures, and how many there are."""

    poisoned: int | None = None
    """A level that cannot be measured."""
    batch: int = 7
    title: str = "levels"

    def open(self) -> Measure:
        def measure(pictures: np.ndarray) -> Arrays:
            if self.poisoned in pictures:
                raise ModelConversionError(f"a picture of level {self.poisoned}; remove it")
            return np.array([pictures.min(), pictures.max()]), np.array(len(pictures))

        return measure

    def merge(self, first: Arrays, second: Arrays) -> Arrays:
        (low, high), (other_low, other_high) = first[0].tolist(), second[0].tolist()
        ends = np.array([min(low, other_low), max(high, other_high)], np.uint8)
        return ends, first[1] + second[1]
