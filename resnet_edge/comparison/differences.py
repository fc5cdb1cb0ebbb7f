"""The difference of one figure between two builds, and its judgement."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from resnet_edge.ondevice.measurements import Interval


class Change(enum.Enum):
    """The judgement on a figure's change from A to B."""

    BETTER = "better"
    WORSE = "worse"
    NOISE = "within noise"
    """They differ by no more than another run or other pictures could cause."""
    SAME = "same"


class Figure(enum.Enum):
    """A figure that is compared."""

    TOP1 = "top-1"
    AGREEMENT = "agreement"
    """Agreement with the build's own reference."""
    SQNR = "SQNR"
    """In dB, with the build's own reference as signal."""
    SIZE = "size"
    """In bytes."""
    LATENCY = "p50"
    """Median of one inference, in seconds."""
    MEMORY = "memory"
    """Peak, in bytes."""
    LOAD = "load"
    """In seconds."""


SHARES = (Figure.TOP1, Figure.AGREEMENT)
"""Figures whose change is a difference of shares; that of all others but SQNR is a share of A's."""


@dataclass(frozen=True)
class Difference:
    """A figure in both builds."""

    figure: Figure
    a: float
    b: float
    change: Change
    amount: float
    """B less A: for shares and decibels the difference, for all others a share of A's."""
    interval: Interval | None
    """The interval of ``amount``; None for a figure that is exact or was read once."""
    basis: str
    """The data that the judgement rests on, in words."""
    where: str = ""
    """The machine's name; empty where there is only one."""
    runtime: str = ""
    threads: int | None = None
    regression: bool = False
    """True if it is worse by more than is tolerated."""


def judge_interval(interval: Interval) -> int:
    """Return 1 if the whole interval lies above 0, -1 if it lies below, 0 if it includes 0."""
    return (interval.low > 0) - (interval.high < 0)


def exceeds(loss: float, tolerated: float) -> bool:
    """True if a loss is more than tolerated; rounding does not count."""
    return loss > tolerated + 1e-9


def apart(one: float, other: float) -> float:
    """Return the distance of two figures as a share of the larger."""
    larger = max(one, other)
    return abs(one - other) / larger if larger > 0 else 0.0
