"""What a file may take and lose, as options of ``compress``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.errors import UsageError
from resnet_edge.ondevice.command.device_result import check_given
from resnet_edge.ondevice.option import (
    AT_LEAST_1,
    POSITIVE,
    Range,
    check_options,
    option,
    parse_size,
)

PANEL = "Budget"

_LOSS = Range("points above 0 % and below 100 %", 0, 1, open_low=True, open_high=True)


def parse_points(text: str) -> float:
    """Parse ``--max-loss 1%``: percentage points, with or without the sign.

    Returns:
        A share: 0.01 for one point.

    Raises:
        UsageError: This is no number.
    """
    found = re.fullmatch(r"\s*([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)\s*%?\s*", text)
    if found is None:
        raise UsageError(
            f"--max-loss: got {text!r}; expected percentage points of top-1, for instance 1%"
        )
    return float(found[1]) / 100


def parse_sides(text: str) -> tuple[int, ...]:
    """Parse ``--input-sizes 224,192``: sides in pixels, the largest first, each once.

    Raises:
        UsageError: These are no whole numbers.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isdecimal() for word in words):
        raise UsageError(
            f"--input-sizes: got {text!r}; expected sides in pixels, for instance 224,192,160"
        )
    return tuple(sorted({int(word) for word in words}, reverse=True))


def parse_results(text: str) -> tuple[Path, ...]:
    """Parse ``--on-device a.json,b.json``."""
    return tuple(Path(word.strip()) for word in text.split(",") if word.strip())


@dataclass(frozen=True)
class CompressionOptions:
    """The budget of a search, beside ``Gates.max_p90_ms``.

    Raises:
        UsageError: A value is out of its range, or a device's result does not exist.
    """

    max_bytes: int | None = option(
        None,
        "Largest size of the file, for instance 12MB.",
        PANEL,
        metavar="SIZE",
        parse=parse_size,
        within=AT_LEAST_1,
        one_call=True,  # in a project's file it is the size of a bundle's pictures
    )
    max_loss: float | None = option(
        None,
        "Largest loss of top-1 against the full-precision model, in percentage points: 1% is one "
        "point. Default: as --int8-accuracy.",
        PANEL,
        metavar="POINTS",
        parse=parse_points,
        within=_LOSS,
    )
    budget_minutes: float = option(
        60.0,
        "Minutes of the search. What was found by then is the answer; another call goes on.",
        PANEL,
        metavar="MINUTES",
        within=POSITIVE,
    )
    input_sizes: tuple[int, ...] | None = option(
        None,
        "Sides of the input to try, in pixels, separated by commas. Default: the model's own, and "
        "0.86, 0.71 and 0.57 of it.",
        PANEL,
        metavar="SIDES",
        parse=parse_sides,
        within=Range("16 to 4096 pixels a side", 16, 4096),
    )
    on_device: tuple[Path, ...] = option(
        (),
        "Results of devices that ran a bundle of the model, or of a network found here: the limit "
        "counts there. Files, separated by commas.",
        PANEL,
        metavar="FILES",
        parse=parse_results,
        show_default=False,
    )
    steps: int = option(
        600,
        "Steps of the training of a slimmed network at most; fewer where the budget is short.",
        PANEL,
        flag="--distillation-steps",
        within=AT_LEAST_1,
    )

    def __post_init__(self) -> None:
        check_options(self)
        for path in self.on_device:
            check_given(path)


@dataclass(frozen=True)
class Limits:
    """What a file may take and lose; None where nothing is asked."""

    p90_s: float | None = None
    bytes: int | None = None
    loss: float | None = None
    """A share: 0.01 is one point of top-1."""

    def __post_init__(self) -> None:
        given = (self.p90_s, self.bytes, self.loss)
        if all(limit is None for limit in given) or any(
            limit is not None and not 0 < limit < math.inf for limit in given
        ):
            raise ValueError(f"limits of {given}; expected at least one above 0")

    @property
    def is_hard(self) -> bool:
        """True if the file may take only so much; else it may lose only so much."""
        return self.p90_s is not None or self.bytes is not None
