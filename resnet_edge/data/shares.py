"""The shares of training, validation and test, as a person tells them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resnet_edge.errors import UsageError


@dataclass(frozen=True)
class SplitShares:
    """Each side's share of the pictures, on average.

    Raises:
        UsageError: A share is outside [0, 1], they do not add up to 1, or nothing is left to train
            or to validate on.
    """

    train: float = 0.6
    validation: float = 0.1
    test: float = 0.3

    def __post_init__(self) -> None:
        shares = (self.train, self.validation, self.test)
        if not all(0 <= share <= 1 for share in shares):
            raise UsageError(f"--split: got {self}; expected each share in [0, 1]")
        if not math.isclose(sum(shares), 1, abs_tol=1e-6):
            raise UsageError(
                f"--split: got {self}, which add up to {sum(shares):g}; expected 1, for instance "
                "0.6,0.1,0.3"
            )
        if not (self.train and self.validation):
            raise UsageError(f"--split: got {self}; expected train and validation above 0")

    def __str__(self) -> str:
        return f"{self.train:g},{self.validation:g},{self.test:g}"


def parse_shares(text: str) -> SplitShares:
    """Read shares as written by a person, for instance ``0.6,0.1,0.3``.

    Raises:
        UsageError: These are not three numbers that add up to 1.
    """
    what_to_do = "expected train,validation,test, for instance 0.6,0.1,0.3"
    try:
        train, validation, test = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--split: got {text!r}; {what_to_do}") from None
    return SplitShares(train, validation, test)
