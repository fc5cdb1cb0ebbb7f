"""Training, validation and test pictures: as they were given, else told apart by their content."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from resnet_edge.data.pictures import Pictures, number_hashes, pictures_of
from resnet_edge.data.shares import SplitShares
from resnet_edge.data.sides import Side
from resnet_edge.errors import DataError

if TYPE_CHECKING:
    from resnet_edge.data.dataset import Dataset


@dataclass(frozen=True)
class Split:
    """The three sides. The same content is never on two of them."""

    train: Pictures
    validation: Pictures
    test: Pictures
    dropped: Pictures = field(default_factory=lambda: pictures_of(()))
    """Left out of training and validation, because another side has them too, or because the test
    set was given apart and theirs is not used."""


def split_dataset(dataset: Dataset, shares: SplitShares, test: Dataset | None = None) -> Split:
    """Split pictures as their folders say, else by the hash of their content.

    The first 64 bits of a picture's SHA-256, as a number in [0, 1), choose its side. So a picture
    stays where it is whatever is added or renamed, and an exact copy goes where the original goes.
    The shares hold on average only. A class that would have none to test or to train on by that
    gives its picture with the lowest or the highest number.

    Of sides that were given, those to test are the test set. Where only those to validate were
    held apart, they test, since nothing is proven by pictures that chose the best epoch. A side to
    validate that is missing is taken from the training side by hash.

    Args:
        dataset: All pictures; without those that ``test`` holds, where it is given.
        shares: The sides' shares. With a test set the test share is ignored and the other two are
            scaled up to 1.
        test: A test set of its own, loaded with the same labels.

    Returns:
        The split, each side in the order of its data set.

    Raises:
        DataError: There are fewer than two classes, a class without pictures, or a class without
            one to train or to test on; no picture to validate on; other labels in ``test``.
    """
    _check_classes(dataset)
    if test is not None and test.labels != dataset.labels:
        raise DataError(
            f"{test.root}: classes {', '.join(test.labels)}; "
            f"expected {', '.join(dataset.labels)} as in {dataset.root}"
        )
    given = _given(dataset)
    if test is not None:
        split = _apart(dataset, given[Side.VALIDATION], test.pictures, shares)
    elif len(given[Side.TEST]):
        split = _apart(dataset, given[Side.VALIDATION], given[Side.TEST], shares)
    elif len(given[Side.VALIDATION]):
        split = _apart(dataset, pictures_of(()), given[Side.VALIDATION], shares)
    else:
        split = _by_hash(dataset.pictures, shares, len(dataset.labels))
    _check_split(dataset, split, shares, test)
    return split


def _given(dataset: Dataset) -> dict[Side, Pictures]:
    """The pictures by the side that folders give them; all to train where they give none."""
    count = len(dataset.pictures)
    numbers = {side: number for number, side in enumerate(Side)}
    sides = dataset.sides or itertools.repeat(Side.TRAIN, count)
    each = np.fromiter((numbers[side] for side in sides), np.int8, count)
    return {side: dataset.pictures[each == number] for side, number in numbers.items()}


def _apart(dataset: Dataset, validation: Pictures, test: Pictures, shares: SplitShares) -> Split:
    """Split what is left beside a test set, and beside pictures to validate where there are any."""
    train = _given(dataset)[Side.TRAIN]
    validated, trained, tested = number_hashes(validation.hashes, train.hashes, test.hashes)
    taken = np.isin(validated, tested)
    validation = validation[~taken]
    train = train[~np.isin(trained, np.concatenate([tested, validated[~taken]]))]
    if not len(validation):
        both = shares.train + shares.validation
        ours = SplitShares(shares.train / both, 1 - shares.train / both, 0)
        hashed = _by_hash(train, ours, len(dataset.labels))
        train, validation = hashed.train, hashed.validation
    dropped = _others(dataset.pictures, (train, validation, test))
    return Split(train, validation, test, dropped)


def _others(pictures: Pictures, used: Sequence[Pictures]) -> Pictures:
    """Return the pictures whose places are not among those of the used ones."""
    own = [some.rows for some in used if some.columns is pictures.columns]
    left = pictures[~np.isin(pictures.rows, np.concatenate([*own, np.empty(0, np.int64)]))]
    keys = set(left.place_keys())
    taken = {key for some in used for key in some.place_keys() if key in keys} if keys else set()
    free = (key not in taken for key in left.place_keys())
    return left[np.fromiter(free, bool, len(left))]


_TEST, _VALIDATION, _TRAIN = range(3)


def _by_hash(pictures: Pictures, shares: SplitShares, classes: int) -> Split:
    (numbers,) = number_hashes(pictures.hashes)
    side_of = np.empty(len(pictures), np.int8)  # by the number of the hash, of which there are less
    side_of[numbers] = _sides(pictures.hashes, shares)
    order = np.argsort(pictures.labels, kind="stable")
    ends = np.searchsorted(pictures.labels[order], np.arange(classes + 1))
    for start, end in itertools.pairwise(ends.tolist()):
        of_class = np.unique(numbers[order[start:end]])  # in ascending order of the hashes
        found = set(side_of[of_class].tolist())
        if len(of_class) > 1 and shares.test and _TEST not in found:
            side_of[of_class[0]] = _TEST
        if len(of_class) and _TRAIN not in found:
            side_of[of_class[-1]] = _TRAIN
    each = side_of[numbers]
    return Split(*(pictures[each == side] for side in (_TRAIN, _VALIDATION, _TEST)))


def _sides(hashes: npt.NDArray[np.uint8], shares: SplitShares) -> npt.NDArray[np.int8]:
    """Choose sides by the first 64 bits of hashes ``(n, 32)``: int8 ``(n,)``."""
    heads = np.ascontiguousarray(hashes[:, :8]).view(">u8")[:, 0].astype(np.uint64)
    number = heads.astype(np.float64) / 2**64
    chosen = np.full(len(hashes), _TRAIN, np.int8)
    chosen[number < shares.test + shares.validation] = _VALIDATION
    chosen[number < shares.test] = _TEST
    return chosen


def count_labels(pictures: Pictures, classes: int) -> list[int]:
    """Return the number of pictures of each class."""
    counts: list[int] = np.bincount(pictures.labels, minlength=classes).tolist()
    return counts


def _check_classes(dataset: Dataset) -> None:
    if len(dataset.labels) < 2:
        raise DataError(
            f"{dataset.root}: {len(dataset.labels)} class ({', '.join(dataset.labels)}); expected "
            "at least two folders; add one with pictures of anything else"
        )
    counts = count_labels(dataset.pictures, len(dataset.labels))
    if empty := [name for label, name in enumerate(dataset.labels) if not counts[label]]:
        raise DataError(
            f"{dataset.root}: no pictures in {', '.join(empty)}; expected some in each class; "
            "add pictures or remove the folder"
        )


def _check_split(dataset: Dataset, split: Split, shares: SplitShares, test: Dataset | None) -> None:
    train, validation, tested = (
        count_labels(side, len(dataset.labels))
        for side in (split.train, split.validation, split.test)
    )
    bad = [
        f"{name} ({train[label]} train, {validation[label]} validation, {tested[label]} test)"
        for label, name in enumerate(dataset.labels)
        if not (train[label] and tested[label])
    ]
    if bad:
        shown = ", ".join(bad[:20]) + (f" and {len(bad) - 20} more" if len(bad) > 20 else "")
        raise DataError(
            f"{dataset.root}: too few pictures for the split in {shown}; expected at least one to "
            f"train and one to test in each class; {_advice(dataset, shares, test)}"
        )
    if not len(split.validation):
        raise DataError(
            f"{dataset.root}: {len(split.train)} pictures to train, 0 to validate, "
            f"{len(split.test)} to test; expected at least one to validate; "
            "add pictures or give validation a larger share with --split"
        )


def _advice(dataset: Dataset, shares: SplitShares, test: Dataset | None) -> str:
    if test is not None:
        return f"add pictures, other shares with --split, to {test.root}"
    if dataset.sides:
        return "move some of its pictures to that side, or remove the class from all sides"
    if not shares.test:
        return "give test a share with --split, or pass --test DIR with a folder per class"
    return (
        "one picture cannot do both: add a second of each, or remove the folder; 20 of each class "
        "begin to teach, 100 begin to prove; or pass --test DIR with a folder per class"
    )
