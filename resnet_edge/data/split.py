"""Training, validation and test pictures, told apart by their content alone."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_edge.errors import DataError, UsageError

if TYPE_CHECKING:
    from resnet_edge.data.dataset import Dataset, Picture


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


@dataclass(frozen=True)
class Split:
    """The three sides. The same content is never on two of them."""

    train: tuple[Picture, ...]
    validation: tuple[Picture, ...]
    test: tuple[Picture, ...]
    dropped: tuple[Picture, ...] = ()
    """Left out of training and validation because they are in the separate test set too."""


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


def split_dataset(dataset: Dataset, shares: SplitShares, test: Dataset | None = None) -> Split:
    """Split pictures by the hash of their content.

    The first 64 bits of a picture's SHA-256, as a number in [0, 1), choose its side. So a picture
    stays where it is whatever is added or renamed, and an exact copy goes where the original goes.
    The shares hold on average only.

    Args:
        dataset: All pictures; without those that ``test`` holds, where it is given.
        shares: The sides' shares. With ``test`` the test share is ignored and the other two are
            scaled up to 1.
        test: A test set of its own, loaded with the same labels.

    Returns:
        The split, each side in the order of its data set.

    Raises:
        DataError: There are fewer than two classes, a class without pictures, or a class without
            one to train or to test on; no picture to validate on; other labels in ``test``.
    """
    _check_classes(dataset)
    if test is None:
        sides = [(picture, _side(picture, shares)) for picture in dataset.pictures]
        tested = _those(sides, "test")
    else:
        if test.labels != dataset.labels:
            raise DataError(
                f"{test.root}: classes {', '.join(test.labels)}; "
                f"expected {', '.join(dataset.labels)} as in {dataset.root}"
            )
        held_out = {picture.sha256 for picture in test.pictures}
        both = shares.train + shares.validation
        shares = SplitShares(shares.train / both, 1 - shares.train / both, 0)
        sides = [
            (picture, "dropped" if picture.sha256 in held_out else _side(picture, shares))
            for picture in dataset.pictures
        ]
        tested = test.pictures
    split = Split(
        _those(sides, "train"), _those(sides, "validation"), tested, _those(sides, "dropped")
    )
    _check_split(dataset, split, test)
    return split


def _side(picture: Picture, shares: SplitShares) -> str:
    number = int(picture.sha256[:16], 16) / 2**64
    if number < shares.test:
        return "test"
    return "validation" if number < shares.test + shares.validation else "train"


def _those(sides: list[tuple[Picture, str]], wanted: str) -> tuple[Picture, ...]:
    return tuple(picture for picture, side in sides if side == wanted)


def _check_classes(dataset: Dataset) -> None:
    if len(dataset.labels) < 2:
        raise DataError(
            f"{dataset.root}: {len(dataset.labels)} class ({', '.join(dataset.labels)}); expected "
            "at least two folders; add one with pictures of anything else"
        )
    counts = Counter(picture.label for picture in dataset.pictures)
    if empty := [name for label, name in enumerate(dataset.labels) if not counts[label]]:
        raise DataError(
            f"{dataset.root}: no pictures in {', '.join(empty)}; expected some in each class; "
            "add pictures or remove the folder"
        )


def _check_split(dataset: Dataset, split: Split, test: Dataset | None) -> None:
    train, validation, tested = (
        Counter(picture.label for picture in side)
        for side in (split.train, split.validation, split.test)
    )
    bad = [
        f"{name} ({train[label]} train, {validation[label]} validation, {tested[label]} test)"
        for label, name in enumerate(dataset.labels)
        if not (train[label] and tested[label])
    ]
    if bad:
        also = "or pass --test DIR with a folder per class" if test is None else f"to {test.root}"
        shown = ", ".join(bad[:20]) + (f" and {len(bad) - 20} more" if len(bad) > 20 else "")
        raise DataError(
            f"{dataset.root}: too few pictures for the split in {shown}; expected at least one to "
            f"train and one to test in each class; add pictures, other shares with --split, {also}"
        )
    if not split.validation:
        raise DataError(
            f"{dataset.root}: {len(split.train)} pictures to train, 0 to validate, "
            f"{len(split.test)} to test; expected at least one to validate; "
            "add pictures or give validation a larger share with --split"
        )
