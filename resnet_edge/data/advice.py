"""What a person should know of a data set before it is trained on: contradictions and copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from resnet_edge import units
from resnet_edge.data.dataset import Dataset, Picture
from resnet_edge.data.sides import Side
from resnet_edge.data.split import Split

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
    looks = _looks(dataset) | (_looks(test) if test is not None else {})
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


def _conflicts(pictures: tuple[Picture, ...], labels: tuple[str, ...]) -> str:
    """Name the pictures whose copies lie in more than one class."""
    copies: dict[str, list[Picture]] = {}
    for picture in pictures:
        copies.setdefault(picture.sha256, []).append(picture)
    several = [same for same in copies.values() if len({p.label for p in same}) > 1]
    if not several:
        return ""
    lines = [" = ".join(f"{p.name} ({labels[p.label]})" for p in same) for same in several]
    return (
        f"{units.plural(len(several), 'picture')} in more than one class, so one of the labels is "
        f"wrong: {_few_of(lines)}; keep each in one class"
    )


def _looks(dataset: Dataset) -> dict[str, str]:
    """Perceptual hashes of a data set's pictures by their sha256, without those of one colour."""
    found = zip(dataset.pictures, dataset.looks, strict=False)  # made by hand, it may have none
    return {picture.sha256: look for picture, look in found if look}


def _look_alikes(
    pictures: tuple[Picture, ...], labels: tuple[str, ...], looks: Mapping[str, str]
) -> str:
    """Name pictures of different classes that look the same and are different files."""
    same: dict[str, dict[str, Picture]] = {}
    for picture in pictures:
        if look := looks.get(picture.sha256):
            same.setdefault(look, {}).setdefault(picture.sha256, picture)
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


def _leaks(split: Split, looks: Mapping[str, str]) -> str:
    """Name test pictures that look the same as one to train or to validate, in the same class."""
    learnt = {
        (looks[p.sha256], p.label): p
        for p in (*split.validation, *split.train)
        if p.sha256 in looks
    }
    pairs = [
        f"{p.name} ~ {learnt[found].name}"
        for p in split.test
        if (found := (looks.get(p.sha256, ""), p.label)) in learnt
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
    kept = {p.sha256: p for p in (*split.test, *split.validation)}
    pairs = [f"{p.name} = {kept[p.sha256].name}" for p in split.dropped if p.sha256 in kept]
    if not pairs:
        return ""
    return (
        f"{units.plural(len(pairs), 'picture')} on two sides of the split, kept only where they "
        f"test or validate: {_few_of(pairs)}"
    )


def _few(labels: tuple[str, ...], split: Split) -> str:
    """Name the classes that have too few pictures to be learnt."""
    counts = Counter(picture.label for picture in split.train)
    few = sorted((counts[label], label) for label in range(len(labels)))
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
