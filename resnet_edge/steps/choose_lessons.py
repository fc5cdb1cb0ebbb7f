"""The pictures that ``--quantization distilled`` and ``trained`` learn from."""

from __future__ import annotations

from converters.quantization.settings import Level
from resnet_edge.data.calibration import CalibrationSet
from resnet_edge.data.lessons import Lessons, lessons_of
from resnet_edge.data.manifest import read_manifest
from resnet_edge.errors import InferenceError
from resnet_edge.ondevice.json_records import read_record
from resnet_edge.options import Options
from resnet_edge.steps.choose_pictures import TRAINING_SPLIT
from resnet_edge.training.training_record import TrainingRecord


def choose_lessons(options: Options, calibration: CalibrationSet) -> Lessons | None:
    """Return the training and validation split, or labelled calibration pictures.

    Args:
        options: The build and the level.
        calibration: The calibration pictures. Where they are of the training split, all of it is
            there to learn from.

    Returns:
        The pictures; None where the level learns nothing, or learns from the calibration pictures
        without labels.

    Raises:
        UsageError: The level needs labels, and there are none.
    """
    level, layout = options.quantization.level, options.layout
    if not level.learns:
        return None
    augment = options.training.augment
    if calibration.source == TRAINING_SPLIT and layout.dataset.exists():
        split = read_manifest(layout.dataset).split
        if layout.training.exists():  # export is not told what finetune was
            record = read_record(TrainingRecord, layout.training, InferenceError)
            augment = record.settings.augment
        return Lessons(split.train, split.validation, augment)
    return lessons_of(calibration, augment=augment) if level is Level.TRAINED else None
