"""What a person should know of a data set before it is trained on: contradictions and copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from resnet_edge import units
from resnet_edge.data.dataset import Dataset
from resnet_edge.data.pictures import Picture, Pictures, number_hashes
from resnet_edge.data.sides import Side
from resnet_edge.data.split import Split, count_labels

_Chosen: TypeAlias = npt.NDArray[np.bool_]

FEW_PICTURES = 5
"""Training pictures of a class below which a new class is hardly learnt."""

_LISTED = 5


def advice(dataset: Dataset, split: Split, test: Dataset | None) -> tuple[str, ...]:
    """Return warnings: pictures in two classes, copies on two sides, classes of few pictures.

    Args:
        dataset: All pictures of ``--data``.
        split: The sides that they were put on.
        test: The test set that was given apart.
    """
    pictures = dataset.pictures + (test.pictures if test is not None else ())
    looks = _looks(dataset) if test is None else _looks(dataset, test)
    found = [
        _conflicts(pictures, dataset.labels),
        _look_alikes(pictures, dataset.labels, looks),
        _copies(split),
        _leaks(split, looks),
        _few(dataset.labels, split),
    ]
    return tuple(words for words in found if words)


def roles(dataset: Dataset, test: Dataset | None) -> str:
    """Say what decided where each picture goes, for people and for ``dataset.json``."""
    sides = set(dataset.sides)
    if Side.TRAIN not in sides or len(sides) == 1:
        return "by content" if test is None else "by content, the test set was given apart"
    if test is not None:
        return "as it was given, but the test set was given apart"
    if Side.TEST not in sides:
        return (
            "as it was given; none is for test: the pictures for validation test, and a share "
            "of those to train validates"
        )
    if Side.VALIDATION not in sides:
        return "as it was given; none is for validation: a share of those to train validates"
    return "as it was given"


def _conflicts(pictures: Pictures, labels: tuple[str, ...]) -> str:
    """Name the pictures whose copies lie in more than one class."""
    (numbers,) = number_hashes(pictures.hashes)
    copies: dict[str, list[Picture]] = {}
    for picture in pictures[_differ(numbers, pictures.labels)]:
        copies.setdefault(picture.sha256, []).append(picture)
    several = list(copies.values())
    if not several:
        return ""
    lines = [" = ".join(f"{p.name} ({labels[p.label]})" for p in same) for same in several]
    return (
        f"{units.plural(len(several), 'picture')} in more than one class, so one of the labels is "
        f"wrong: {_few_of(lines)}; keep each in one class"
    )


def _differ(groups: npt.NDArray[np.int64], labels: npt.NDArray[np.int32]) -> _Chosen:
    """Return a mask of the members of groups of several labels.

    Args:
        groups: Group of each member, 0 and more; ``(n,)``.
        labels: Label of each member, ``(n,)``.
    """
    of_group = np.empty(groups.max(initial=0) + 1, np.int32)
    of_group[groups] = labels
    mixed = np.zeros(len(of_group), bool)
    mixed[groups[of_group[groups] != labels]] = True
    return mixed[groups]


@dataclass(frozen=True)
class _Looks:
    """Perceptual hashes of content, without those of one colour."""

    hashes: npt.NDArray[np.uint8]
    """SHA-256 of content, ``(n, 32)``; of the same content twice the last one counts."""
    looks: npt.NDArray[np.bytes_]
    """The perceptual hash of each, hexadecimal, ``(n,)``."""

    def numbers_of(self, pictures: Pictures) -> npt.NDArray[np.int64]:
        """Number what pictures look like, 1 and more; 0 where it is not known; ``(n,)``."""
        content, asked = number_hashes(self.hashes, pictures.hashes)
        of_content = np.zeros(len(content) + len(asked), np.int64)
        of_content[content] = np.unique(self.looks, return_inverse=True)[1] + 1
        return of_content[asked]


def _looks(*datasets: Dataset) -> _Looks:
    """Return the looks of data sets; of content in several, those of the last one."""
    hashes, looks = [], []
    for dataset in datasets:  # made by hand, it may have none
        each = np.array([look.encode() for look in dataset.looks], np.bytes_)
        hashes.append(dataset.pictures.hashes[: len(each)][each != b""])
        looks.append(each[each != b""])
    return _Looks(np.concatenate(hashes), np.concatenate(looks))


def _look_alikes(pictures: Pictures, labels: tuple[str, ...], looks: _Looks) -> str:
    """Name pictures of different classes that look the same and are different files."""
    numbers = looks.numbers_of(pictures)
    chosen = (numbers > 0) & _differ(numbers, pictures.labels)
    same: dict[int, dict[str, Picture]] = {}
    for number, picture in zip(numbers[chosen].tolist(), pictures[chosen], strict=True):
        same.setdefault(number, {}).setdefault(picture.sha256, picture)
    several = [list(found.values()) for found in same.values()]
    several = [found for found in several if len({p.label for p in found}) > 1]
    if not several:
        return ""
    lines = [" ~ ".join(f"{p.name} ({labels[p.label]})" for p in found) for found in several]
    return (
        f"{units.plural(len(several), 'picture')} in more than one class as copies that were "
        f"scaled or compressed again, by their look: {_few_of(lines)}; look at them, and keep each "
        "in one class"
    )


def _leaks(split: Split, looks: _Looks) -> str:
    """Name test pictures that look the same as one to train or to validate, in the same class."""
    known = split.validation + split.train
    numbers, asked = looks.numbers_of(known), looks.numbers_of(split.test)
    shared = np.intersect1d(numbers[numbers > 0], asked)
    mine, theirs = np.isin(numbers, shared), np.isin(asked, shared)
    learnt = {
        (look, p.label): p for look, p in zip(numbers[mine].tolist(), known[mine], strict=True)
    }
    pairs = [
        f"{p.name} ~ {learnt[(look, p.label)].name}"
        for look, p in zip(asked[theirs].tolist(), split.test[theirs], strict=True)
        if (look, p.label) in learnt
    ]
    if not pairs:
        return ""
    return (
        f"{units.plural(len(pairs), 'test picture')} with a copy among those that train, scaled or "
        f"compressed again, by its look: {_few_of(pairs)}; the measured accuracy flatters by as "
        "much; delete the copies"
    )


def _copies(split: Split) -> str:
    """Name the pictures that were left out because another side has them too."""
    held = split.test + split.validation
    numbers, left = number_hashes(held.hashes, split.dropped.hashes)
    kept = {p.sha256: p for p in held[np.isin(numbers, left)]}
    pairs = [f"{p.name} = {kept[p.sha256].name}" for p in split.dropped[np.isin(left, numbers)]]
    if not pairs:
        return ""
    return (
        f"{units.plural(len(pairs), 'picture')} on two sides of the split, kept only where they "
        f"test or validate: {_few_of(pairs)}"
    )


def _few(labels: tuple[str, ...], split: Split) -> str:
    """Name the classes that have too few pictures to be learnt."""
    counts = count_labels(split.train, len(labels))
    few = sorted((count, label) for label, count in enumerate(counts))
    few = [(count, label) for count, label in few if count < FEW_PICTURES]
    if not few:
        return ""
    shown = _few_of([f"{labels[label]} {count}" for count, label in few])
    return (
        f"{len(few)} of {units.plural(len(labels), 'class')} have fewer than {FEW_PICTURES} "
        f"pictures to train on ({shown}): they will hardly be recognised; add pictures, join "
        "classes that look alike, or start from pretrained weights with --weights imagenet"
    )


def _few_of(words: list[str]) -> str:
    more = len(words) - _LISTED
    return ", ".join(words[:_LISTED]) + (f" and {more} more" if more > 0 else "")
