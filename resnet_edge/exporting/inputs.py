"""The inputs of an export: the model, and for integer artifacts the calibration pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from resnet_edge.data.calibration import CalibrationSet
from resnet_edge.data.decoded import decode_pictures, decoded_path
from resnet_edge.data.lessons import Lessons
from resnet_edge.data.manifest import read_manifest
from resnet_edge.display import Display
from resnet_edge.exporting.job import ExportInputs, IntegerInputs, LessonInputs
from resnet_edge.exporting.writers import QUANTIZING, tool_versions
from resnet_edge.inspection.model_description import input_size, square
from resnet_edge.model.model_file import ModelInfo
from resnet_edge.ondevice.files import digest, hash_path
from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.formats.sidecar import CalibrationRecord
from resnet_edge.options import Options

KEPT_LAYOUT = 3
"""Number of the layout of a kept quantization. Other fields of its records need another number, so
that what an earlier version kept is made anew."""


def describe_inputs(
    options: Options,
    source: Path,
    info: ModelInfo,
    calibration: CalibrationSet | None,
    lessons: Lessons | None = None,
) -> ExportInputs:
    """Put together what all artifacts of an export share.

    Args:
        options: The export's options.
        source: The ``.keras`` classifier.
        info: Its description.
        calibration: The calibration pictures, as ``calibration.json`` has them; None where no
            integer artifact is asked for.
        lessons: Pictures that the quantization learns from; None where it learns from those of the
            calibration or not at all.
    """
    sha256, size = hash_path(source), _picture_size(options, source)
    integer = None
    if calibration is not None:
        integer = _integer_inputs(options, info, calibration, lessons, sha256, size)
    return ExportInputs(
        model=source.resolve(),
        model_sha256=sha256,
        model_name=info.name,
        labels=info.labels,
        preprocessing=info.preprocessing,
        fit=info.fit,
        size=size,
        rewrites=options.rewrites,
        artifacts=options.layout.artifacts.resolve(),
        integer=integer,
    )


def _integer_inputs(
    options: Options,
    info: ModelInfo,
    calibration: CalibrationSet,
    lessons: Lessons | None,
    sha256: str,
    size: tuple[int, int],
) -> IntegerInputs:
    record = CalibrationRecord(
        sha256=hash_path(options.layout.calibration),
        pictures=len(calibration.pictures),
        seed=calibration.seed,
        source=calibration.source,
        method=options.quantization.method,
    )
    cache = options.layout.cache.resolve()
    learned = None if lessons is None else _lesson_inputs(lessons, size, Fit(info.fit), cache)
    decided_by = digest(  # all that the quantization depends on
        sha256,
        info.preprocessing,
        record,
        size,
        options.rewrites,
        options.quantization.onnx_target.grid,
        None if learned is None else learned.sha256,
        tool_versions(QUANTIZING),
        KEPT_LAYOUT,
    )
    return IntegerInputs(
        calibration=record,
        pictures=decoded_path(calibration.pictures, size, Fit(info.fit), cache),
        options=options.quantization,
        quantized=cache / f"quantization-{decided_by[:16]}.npz",
        findings=options.layout.quantization.resolve(),
        engine=options.scale.for_models(),
        lessons=learned,
    )


def _lesson_inputs(lessons: Lessons, size: tuple[int, int], fit: Fit, cache: Path) -> LessonInputs:
    both = (lessons.train, lessons.validation)
    return LessonInputs(
        sha256=digest(
            [[(p.sha256, p.label) for p in pictures] for pictures in both], lessons.augment
        ),
        pictures=decoded_path(lessons.train, size, fit, cache),
        labels=tuple(picture.label for picture in lessons.train),
        validation=decoded_path(lessons.validation, size, fit, cache),
        validation_labels=tuple(picture.label for picture in lessons.validation),
        augment=lessons.augment,
    )


def decode_lessons(
    options: Options, inputs: ExportInputs, lessons: Lessons, display: Display
) -> None:
    """Decode the pictures that the quantization learns from into files that workers map."""
    for title, pictures in (("training", lessons.train), ("validation", lessons.validation)):
        with display.bar(f"decoding {title} pictures") as advance:
            decode_pictures(pictures, inputs.size, Fit(inputs.fit), options.layout.cache, advance)


def decode_calibration(
    options: Options, inputs: ExportInputs, calibration: CalibrationSet, display: Display
) -> None:
    """Decode the calibration pictures into the file that workers map."""
    with display.bar("decoding calibration pictures") as advance:
        decode_pictures(
            calibration.pictures, inputs.size, Fit(inputs.fit), options.layout.cache, advance
        )


def calibration_pixels(inputs: ExportInputs) -> npt.NDArray[np.uint8] | None:
    """Return the decoded calibration pictures, mapped from disk; None where there are none."""
    if inputs.integer is None or not inputs.integer.pictures.exists():
        return None
    pixels: npt.NDArray[np.uint8] = np.load(inputs.integer.pictures, mmap_mode="r")
    return pixels


def _picture_size(options: Options, source: Path) -> tuple[int, int]:
    """Return height and width of the model's pictures, also where the network leaves them free."""
    layout, asked = options.layout, square(options.data.image_size)
    if asked is None and source.resolve() == layout.model.resolve() and layout.dataset.exists():
        asked = read_manifest(layout.dataset).size
    return input_size(source, asked)
