"""What ``compare`` tolerates."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resnet_edge.ondevice.option import Range, check_options, option

SQNR_TOLERANCE_DB = 3.0

_LOSS = Range("a share, 0 or more", low=0, high=math.inf, open_high=True)
_COMPARISON = "Options"  # typer's own panel


@dataclass(frozen=True)
class Tolerance:
    """The loss from build A to build B that ``compare`` tolerates. More is a regression.

    Raises:
        UsageError: A value is no share.
    """

    share: float = option(
        0.05,
        "Exit 1 where latency, size or memory is worse by more than this share of A's, and by more "
        "than noise.",
        _COMPARISON,
        flag="--tolerance",
        within=_LOSS,
    )
    accuracy: float = option(
        0.01,
        "Exit 1 where top-1 or agreement is proven worse and by more than this share: 0.01 is one "
        f"point. An SQNR lower by more than {SQNR_TOLERANCE_DB:g} dB and a gate that fails where "
        "it did not are always a regression.",
        _COMPARISON,
        flag="--accuracy-tolerance",
        within=_LOSS,
    )
    """The default is what the int8 gate lets pass."""
    sqnr_db: float = option(
        SQNR_TOLERANCE_DB, "Loss of SQNR in dB; the default is three times the noise.", within=_LOSS
    )

    def __post_init__(self) -> None:
        check_options(self)
