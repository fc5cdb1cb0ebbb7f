"""Photos to splits: the pictures that train, validate, calibrate and test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from converters.quantization.settings import FEWEST_PICTURES
from resnet_edge.data.address import Source
from resnet_edge.data.advice import advice, roles
from resnet_edge.data.calibration import (
    CalibrationSet,
    choose_calibration,
    read_calibration,
    write_calibration,
)
from resnet_edge.data.dataset import Dataset, load_dataset, load_unlabelled
from resnet_edge.data.loaded_pixels import load_pixels
from resnet_edge.data.manifest import read_manifest
from resnet_edge.data.names import label_of
from resnet_edge.data.pictures import Picture, Pictures, pictures_of
from resnet_edge.data.pixel_source import ManyPixels
from resnet_edge.data.sides import Side
from resnet_edge.data.split import Split, split_dataset
from resnet_edge.display import Display, Silent
from resnet_edge.errors import DataError, UsageError
from resnet_edge.layout import Layout
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.options import (
    CALIBRATION_COUNT,
    CalibrationOptions,
    Options,
    QuantizationOptions,
)
from resnet_edge.scale.running import Computing

TRAINING_SPLIT = "training split"
"""Source of calibration pictures that were not given in a folder of their own."""


@dataclass(frozen=True)
class Photos:
    """A data set, split."""

    dataset: Dataset
    test: Dataset | None
    """The separate test set, where one was given."""
    split: Split
    advice: tuple[str, ...]
    """What a person should know of the pictures: contradictions, copies and small classes."""

    @property
    def pictures(self) -> Pictures:
        """All pictures that were not left out."""
        return self.dataset.pictures + (self.test.pictures if self.test else ())

    @property
    def split_reason(self) -> str:
        """What decided where each picture goes."""
        return roles(self.dataset, self.test)

    @property
    def skipped(self) -> tuple[str, ...]:
        """Unreadable pictures that were left out, with the reason."""
        return self.dataset.skipped + (self.test.skipped if self.test else ())


def load_photos(options: Options, display: Display) -> Photos:
    """Read, check and split the pictures of ``--data`` and ``--test``.

    Raises:
        DataError: Pictures are unreadable, or too few for the split.
    """
    dataset = load_pictures(options.data.data, options, display, "pictures")
    test = None
    if options.data.test is not None:
        test = load_test(options.data.test, options, display, dataset.labels)
    split = split_dataset(dataset, options.data.split, test)
    photos = Photos(dataset, test, split, advice(dataset, split, test))
    if dataset.sides:
        display.say(f"{dataset.root.name}: split {photos.split_reason}")
    for words in photos.advice:
        display.warn(words)
    return photos


def load_test(
    source: Source,
    options: Options,
    display: Display,
    labels: tuple[str, ...],
) -> Dataset:
    """Read and check the pictures of ``--test``: of a split, those to test.

    Raises:
        DataError: Pictures are unreadable, or of classes that are not the model's.
    """
    take = (Side.TEST, Side.VALIDATION)
    return load_pictures(source, options, display, "test pictures", labels, take)


def load_pictures(
    source: Source,
    options: Options,
    display: Display,
    title: str,
    labels: tuple[str, ...] | None = None,
    take: tuple[Side, ...] = (),
) -> Dataset:
    """Read and check pictures, and show what was recognised and left out.

    Raises:
        DataError: Pictures are unreadable, or the folders are of no form that is known.
    """
    cache, computing = options.layout.cache, Computing(options.scale.for_checks(), display.warn)
    with display.bar(f"checking {title}") as advance:
        dataset = load_dataset(
            source,
            cache / "unpacked",
            labels=labels,
            skip_unreadable=options.data.skip_unreadable,
            progress=advance,
            unpacking=lambda done, total: advance(done, total, f"unpacking {source.name}"),
            exclude=cache.parent,
            take=take,
            computing=computing,
        )
    show_notes(dataset, display)
    return dataset


def show_notes(dataset: Dataset, display: Display) -> None:
    """Show what was recognised and left out."""
    for note in dataset.notes:
        display.say(f"{dataset.root.name}: {note}")
    for reason in dataset.skipped:
        display.warn(f"skipped {reason}")


def choose_pictures(
    options: CalibrationOptions,
    train: Sequence[Picture],
    test: Sequence[Picture],
    labels: tuple[str, ...],
    layout: Layout,
    display: Display | None = None,
    *,
    skip_unreadable: bool = False,
) -> CalibrationSet:
    """Choose the calibration pictures and write ``calibration.json``.

    Args:
        options: The pictures to choose from, their number and the seed.
        train: The training split.
        test: The test split, which must not calibrate.
        labels: The model's classes.
        layout: The build.
        display: Shows the progress; None shows nothing.
        skip_unreadable: Leave out pictures of ``--calibration`` that cannot be decoded.

    Raises:
        DataError: A picture of ``--calibration`` is in the test split too, so that the measured
            accuracy would be too high.
    """
    pictures: Sequence[Picture] = train
    source = TRAINING_SPLIT
    display = display or Silent()
    if options.calibration is not None:
        with display.bar("checking calibration pictures") as advance:
            found = load_unlabelled(
                options.calibration,
                layout.cache / "unpacked",
                labels=labels,
                skip_unreadable=skip_unreadable,
                progress=advance,
                exclude=layout.out,
            )
        show_notes(found, display)
        pictures = found.pictures
        source = f"folder {options.calibration.absolute().name}"
    count, seed = options.calibration_count or CALIBRATION_COUNT, options.seed or 0
    chosen = choose_calibration(pictures, labels, count, seed, source)
    check_apart(chosen, test, "--calibration")
    write_calibration(layout.calibration, chosen)
    return chosen


def find_calibration(options: Options, labels: tuple[str, ...], display: Display) -> CalibrationSet:
    """Return the pictures of ``--calibration``, or those that finetune chose.

    Args:
        options: A seed or a count that is not what finetune took has them chosen again.
        labels: The model's classes.
        display: Shows the progress.

    Raises:
        UsageError: There are none.
        DataError: Some of them are test pictures too.
    """
    layout = options.layout
    manifest = read_manifest(layout.dataset) if layout.dataset.exists() else None
    if options.calibration.calibration is not None:
        test = manifest.split.test if manifest else ()
        return choose_pictures(
            options.calibration,
            (),
            test,
            labels,
            layout,
            display,
            skip_unreadable=options.data.skip_unreadable,
        )
    if manifest is None or not layout.calibration.exists():
        formats = [name for name in options.formats_to_make if artifact_kind(name).calibrated]
        raise UsageError(
            f"{', '.join(formats)}: need pictures to measure ranges on; pass --calibration DIR, or "
            "leave them out with --formats"
        )
    recorded = read_calibration(layout.calibration, manifest.root, manifest.split.train)
    wanted = replace(
        options.calibration,
        calibration_count=options.calibration.calibration_count or recorded.requested,
        seed=recorded.seed if options.calibration.seed is None else options.calibration.seed,
    )
    if recorded.source != TRAINING_SPLIT:
        raise UsageError(
            f"{layout.calibration}: its pictures are those of a {recorded.source}, which is not "
            "given; pass --calibration DIR again"
        )
    if (wanted.calibration_count, wanted.seed) == (recorded.requested, recorded.seed):
        return recorded
    split = manifest.split
    return choose_pictures(wanted, split.train, split.test, labels, layout, display)


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
    if len(calibration.labels) < 2 or len(labels) > 1:
        return None
    (label,) = labels
    if not all(label in map(label_of, Path(p.name).parts[:-1]) for p in calibration.pictures):
        return None
    return (
        f"all {len(calibration.pictures)} calibration pictures are of class {label!r}: ranges may "
        "not fit the others; give pictures of all, one folder per class"
    )


def check_apart(calibration: CalibrationSet, test: Sequence[Picture], option: str) -> None:
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
    pictures: Sequence[Picture],
    size: tuple[int, int],
    fit: Fit,
    options: Options,
    display: Display,
    title: str,
) -> ManyPixels:
    """Decode pictures once into the cache and map them, or stream them where they are many."""
    with display.bar(f"decoding {title} pictures") as advance:
        computing = Computing(options.scale.for_pixels(), display.warn)
        return load_pixels(pictures, size, fit, options.layout.cache, advance, computing=computing)


def labels_of(pictures: Sequence[Picture]) -> np.ndarray:
    """Classes of pictures, int64 ``(n,)``."""
    return pictures_of(pictures).labels.astype(np.int64)
