"""Labelled pictures that a quantization learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.data.calibration import CalibrationSet
from resnet_edge.data.names import label_of
from resnet_edge.data.pictures import Picture
from resnet_edge.errors import UsageError

HELD_OUT = 7
"""Of pictures without a validation split, every seventh of a class validates."""


@dataclass(frozen=True)
class Lessons:
    """Training and validation pictures; both hold some."""

    train: Sequence[Picture]
    validation: Sequence[Picture]
    augment: bool = True
    """True to vary the training pictures at random."""


def lessons_of(calibration: CalibrationSet, *, augment: bool) -> Lessons:
    """Divide calibration pictures, whose classes are those of their folders.

    Raises:
        UsageError: Pictures lie in no folder that is named like a class, or there are too few.
    """
    pictures = calibration.pictures
    lost = [picture for picture in pictures if not _lies_in_class(picture, calibration.labels)]
    if lost:
        raise UsageError(
            f"--quantization trained learns from labels: {len(lost)} of {len(pictures)} "
            f"calibration pictures lie in no folder of a class, the first is {lost[0].name}; "
            f"expected a folder per class, named {', '.join(calibration.labels[:3])}, …; "
            "move them, or pass "
            "--quantization distilled, which needs no labels"
        )
    seen: dict[int, int] = {}
    train: list[Picture] = []
    validation: list[Picture] = []
    for picture in pictures:
        number = seen[picture.label] = seen.get(picture.label, 0) + 1
        (validation if number % HELD_OUT == 0 else train).append(picture)
    if not validation:
        raise UsageError(
            f"--quantization trained: {len(pictures)} calibration pictures, at most "
            f"{max(seen.values())} of a class; expected at least {HELD_OUT} of one, of which one "
            "validates; give `resnet-edge export` a larger folder or --calibration-count, or "
            "--quantization distilled"
        )
    return Lessons(tuple(train), tuple(validation), augment)


def is_labelled(calibration: CalibrationSet) -> bool:
    """Return True if every picture lies in a folder that is named like its class."""
    return all(_lies_in_class(picture, calibration.labels) for picture in calibration.pictures)


def _lies_in_class(picture: Picture, labels: tuple[str, ...]) -> bool:
    name = label_of(labels[picture.label])
    return name in map(label_of, Path(picture.name).parts[:-1])
