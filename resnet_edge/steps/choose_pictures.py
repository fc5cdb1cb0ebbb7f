"""Photos to splits: which picture trains, validates, calibrates and tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.quantization.settings import FEWEST_PICTURES
from resnet_edge.data.calibration import CalibrationSet, choose_calibration, write_calibration
from resnet_edge.data.dataset import Dataset, Picture, load_dataset, load_unlabelled
from resnet_edge.data.decoded import decode_pictures
from resnet_edge.data.split import Split, split_dataset
from resnet_edge.display import Display
from resnet_edge.errors import DataError, UsageError
from resnet_edge.layout import Layout
from resnet_edge.ondevice.fit import Fit
from resnet_edge.options import (
    CALIBRATION_COUNT,
    CalibrationOptions,
    DataOptions,
    QuantizationOptions,
)

TRAINING_SPLIT = "training split"
"""Source of calibration pictures that were not given in a folder of their own."""


@dataclass(frozen=True)
class Photos:
    """A data set, split."""

    dataset: Dataset
    test: Dataset | None
    """The separate test set, where one was given."""
    split: Split

    @property
    def skipped(self) -> tuple[str, ...]:
        """Unreadable pictures that were left out, with the reason."""
        return self.dataset.skipped + (self.test.skipped if self.test else ())


def load_photos(options: DataOptions, cache: Path, display: Display) -> Photos:
    """Read, check and split the pictures of ``--data`` and ``--test``.

    Raises:
        DataError: Pictures are unreadable, or too few for the split.
    """
    unpack_to = cache / "unpacked"
    with display.bar("checking pictures") as advance:
        dataset = load_dataset(
            options.data, unpack_to, skip_unreadable=options.skip_unreadable, progress=advance
        )
    test = None
    if options.test is not None:
        with display.bar("checking test pictures") as advance:
            test = load_dataset(
                options.test,
                unpack_to,
                labels=dataset.labels,
                skip_unreadable=options.skip_unreadable,
                progress=advance,
            )
    photos = Photos(dataset, test, split_dataset(dataset, options.split, test))
    for reason in photos.skipped:
        display.warn(f"skipped {reason}")
    return photos


def choose_pictures(
    options: CalibrationOptions,
    train: tuple[Picture, ...],
    test: tuple[Picture, ...],
    labels: tuple[str, ...],
    layout: Layout,
) -> CalibrationSet:
    """Choose the calibration pictures and write ``calibration.json``.

    Raises:
        DataError: A picture of ``--calibration`` is in the test split too: the measurement would
        flatter.
    """
    pictures, source = train, TRAINING_SPLIT
    if options.calibration is not None:
        memory = layout.cache / "unpacked"
        pictures = load_unlabelled(options.calibration, memory, labels=labels)
        source = f"folder {options.calibration.name}"
    count, seed = options.calibration_count or CALIBRATION_COUNT, options.seed or 0
    chosen = choose_calibration(pictures, labels, count, seed, source)
    check_apart(chosen, test, "--calibration")
    write_calibration(layout.calibration, chosen)
    return chosen


def check_calibration(calibration: CalibrationSet, options: QuantizationOptions) -> None:
    """Refuse too few pictures to quantize with.

    Raises:
        UsageError: There are fewer than ``FEWEST_PICTURES``, and that is not accepted.
    """
    count = len(calibration.pictures)
    if count < FEWEST_PICTURES and not options.few_pictures:
        raise UsageError(
            f"{count} calibration pictures ({calibration.source}); expected at least "
            f"{FEWEST_PICTURES}: ranges of fewer say little about other pictures; add some, pass "
            "--few-pictures, or leave the integer artifacts out with --formats"
        )


def one_class(calibration: CalibrationSet) -> str | None:
    """A warning where all calibration pictures lie in one class's folder."""
    labels = {calibration.labels[picture.label] for picture in calibration.pictures}
    folders = {picture.name.partition("/")[0] for picture in calibration.pictures}
    if len(calibration.labels) < 2 or labels != folders or len(labels) > 1:
        return None
    (label,) = labels
    return (
        f"all {len(calibration.pictures)} calibration pictures are of class {label!r}: ranges may "
        "not fit the others; give pictures of all, one folder per class"
    )


def check_apart(calibration: CalibrationSet, test: tuple[Picture, ...], option: str) -> None:
    """Refuse calibration pictures that are test pictures too.

    Raises:
        DataError: There are some; ``option`` is named as what to change.
    """
    tested = {picture.sha256 for picture in test}
    if leaked := [picture.name for picture in calibration.pictures if picture.sha256 in tested]:
        raise DataError(
            f"{option}: {len(leaked)} calibration pictures are test pictures too, the first is "
            f"{leaked[0]}; expected others, or the measured accuracy would flatter; "
            "remove them from one of the two folders"
        )


def decode_split(
    pictures: tuple[Picture, ...],
    size: tuple[int, int],
    fit: Fit,
    layout: Layout,
    display: Display,
    title: str,
) -> np.ndarray:
    """Decode pictures once into the cache and map them: uint8 ``(n, height, width, 3)``."""
    with display.bar(f"decoding {title} pictures") as advance:
        return decode_pictures(pictures, size, fit, layout.cache, advance)


def labels_of(pictures: tuple[Picture, ...]) -> np.ndarray:
    """Classes of pictures, int64 ``(n,)``."""
    return np.array([picture.label for picture in pictures], np.int64)


def read_labels(path: Path, classes: int) -> tuple[str, ...]:
    """Read a labels file: one class name a line, in output order.

    Raises:
        UsageError: The file is missing, or has another number of lines than the model has classes.
    """
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(f"--labels: {path} cannot be read ({problem})") from problem
    names = tuple(name for name in names if name)
    if len(names) != classes or len(set(names)) != classes:
        raise UsageError(
            f"--labels: {path} has {len(names)} names ({len(set(names))} different); "
            f"the model has {classes} classes; expected one name a line in output order"
        )
    return names
