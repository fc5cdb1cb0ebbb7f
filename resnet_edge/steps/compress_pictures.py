"""The pictures that ``compress`` fits, trains and judges with. None of them is a test picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from resnet_edge.data.calibration import CalibrationSet, choose_calibration
from resnet_edge.data.decoded import decode_pictures
from resnet_edge.data.lessons import HELD_OUT, Lessons, is_labelled, lessons_of
from resnet_edge.data.manifest import read_manifest
from resnet_edge.data.pictures import Picture
from resnet_edge.display import Display
from resnet_edge.errors import InferenceError, UsageError
from resnet_edge.layout import Layout
from resnet_edge.model.model_file import ModelInfo
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.json_records import read_record
from resnet_edge.ondevice.pictures import Pixels
from resnet_edge.options import Options
from resnet_edge.steps.choose_pictures import choose_pictures, labels_of
from resnet_edge.training.training_record import TrainingRecord

if TYPE_CHECKING:
    from resnet_edge.compression.networks import Material

MOST_PICTURES = 20_000
"""Of a folder of calibration pictures, to learn from."""

FEWEST = 20
"""Fewer can neither fit a network nor tell two apart."""


@dataclass(frozen=True)
class Learning:
    """Pictures to learn from and to choose by."""

    lessons: Sequence[Picture]
    """Balanced in any first part."""
    validation: Sequence[Picture]
    labelled: bool
    augment: bool
    source: str
    """Their origin, in words."""


def find_learning(
    options: Options, labels: tuple[str, ...], folder: Layout, display: Display
) -> Learning:
    """Return the training and validation split, or divide the pictures of ``--calibration``.

    Args:
        options: The build.
        labels: The model's classes.
        folder: Where the choice of calibration pictures is written down.
        display: Shows the progress.

    Raises:
        UsageError: There are none, or too few.
        DataError: Some of them are test pictures too.
    """
    layout = options.layout
    manifest = read_manifest(layout.dataset) if layout.dataset.exists() else None
    if options.calibration.calibration is not None:
        test = manifest.split.test if manifest else ()
        wanted = replace(options.calibration, calibration_count=MOST_PICTURES)
        found = choose_pictures(
            *(wanted, (), test, labels, folder, display),
            skip_unreadable=options.data.skip_unreadable,
        )
        learning = _divided(found, augment=options.training.augment)
    elif manifest is not None and manifest.split.train:
        split, augment = manifest.split, options.training.augment
        if layout.training.exists():  # compress is not told what finetune was
            augment = read_record(TrainingRecord, layout.training, InferenceError).settings.augment
        balanced = choose_calibration(split.train, labels, len(split.train), 0, "training split")
        learning = Learning(
            balanced.pictures, split.validation, True, augment, "the training split"
        )
    else:
        raise UsageError(
            "compress: no pictures to fit the slimmed networks with; pass --calibration DIR, "
            "pictures like those that the model was trained on, best in a folder per class"
        )
    if len(learning.lessons) < FEWEST or not learning.validation:
        raise UsageError(
            f"compress: {len(learning.lessons)} pictures to fit with and "
            f"{len(learning.validation)} to judge by ({learning.source}); expected at least "
            f"{FEWEST} and 1; pass --calibration DIR with more"
        )
    return learning


def _divided(found: CalibrationSet, *, augment: bool) -> Learning:
    """Divide pictures into lessons and validation, with labels where folders tell them."""
    if is_labelled(found) and len({picture.label for picture in found.pictures}) > 1:
        lessons: Lessons = lessons_of(found, augment=augment)
        return Learning(
            lessons.train, lessons.validation, True, augment, f"{found.source}, by class"
        )
    held_out = found.pictures[HELD_OUT - 1 :: HELD_OUT]
    used = tuple(p for n, p in enumerate(found.pictures, start=1) if n % HELD_OUT)
    return Learning(used, held_out, False, augment, f"{found.source}, without classes")


def decoded_at(
    learning: Learning, info: ModelInfo, layout: Layout, display: Display
) -> Callable[[tuple[int, int]], Material]:
    """Return what decodes the pictures at a size. Decoded pictures are kept in the cache."""
    from resnet_edge.compression.networks import Material

    fit = Fit(info.fit)

    def decode(size: tuple[int, int]) -> Material:
        def decoded(pictures: Sequence[Picture], title: str) -> Pixels:
            with display.bar(f"decoding {title} pictures") as advance:
                return decode_pictures(pictures, size, fit, layout.cache, advance)

        lessons = decoded(learning.lessons, "training")
        validation = decoded(learning.validation, "validation")
        known = learning.labelled
        return Material(
            lessons,
            labels_of(learning.lessons) if known else None,
            validation,
            labels_of(learning.validation) if known else None,
        )

    return decode
