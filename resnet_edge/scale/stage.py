"""A stage: one function over fixed shards of a long list, whose results are files.

Shards do not depend on who computes them, and neither do their bytes: a stage has the same results
in this process, in many, and on many machines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

SHARD = 64
"""Items of a shard: pictures in the order of their list."""


@dataclass(frozen=True)
class Made:
    """What came of one shard."""

    payload: bytes
    """The content of the shard's file."""
    maker: str
    """What decides on the bytes beside the inputs: packages with versions, a kind of device. All
    shards of a stage must have the same."""


Make = Callable[[Any], Made]
"""Computes a shard from its job."""


class Work(Protocol):
    """What a process needs to compute shards: a frozen dataclass, sent to other processes."""

    def open(self) -> Make:
        """Load what all shards need; called once in each process, after it is limited to its cores.

        Heavy imports belong here.
        """


@dataclass(frozen=True)
class Stage:
    """A map over the shards of a list."""

    title: str
    """Names it in messages, for instance ``answers of int8.tflite``."""
    key: str
    """Hash of everything that the results depend on."""
    work: Work
    items: int
    """Length of the list."""
    job: Callable[[int, int], object]
    """The job of the items from a first one up to a last one, which is not among them."""
    folder: Path
    """For the finished shards."""
    shard: int = SHARD
    """Items of a shard."""
    failures_named: bool = False
    """True if the message of the work's own error begins with the title."""

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.items // self.shard)

    def span(self, number: int) -> tuple[int, int]:
        """Return the first item of a shard, and the one behind its last."""
        return number * self.shard, min((number + 1) * self.shard, self.items)

    def job_of(self, number: int) -> object:
        """Return the job of a shard."""
        return self.job(*self.span(number))
