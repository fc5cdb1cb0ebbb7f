"""What a quantization learns from: the whole training split, or labelled calibration pictures."""

from dataclasses import replace

import pytest

from converters.quantization.settings import Level
from resnet_edge.data.manifest import read_manifest
from resnet_edge.display import Silent
from resnet_edge.errors import UsageError
from resnet_edge.options import CalibrationOptions, Options, QuantizationOptions
from resnet_edge.steps.choose_lessons import choose_lessons
from resnet_edge.steps.choose_pictures import find_calibration

LABELS = ("blue", "green", "red")


def at(options: Options, level: Level) -> Options:
    return replace(options, quantization=QuantizationOptions(level))


def lessons_at(options: Options, level: Level):
    return choose_lessons(at(options, level), find_calibration(options, LABELS, Silent()))


@pytest.mark.parametrize("level", [Level.FAST, Level.EQUALIZED])
def test_levels_that_learn_nothing(options: Options, level: Level):
    assert lessons_at(options, level) is None


@pytest.mark.parametrize("level", [Level.DISTILLED, Level.TRAINED])
def test_the_whole_training_split_and_its_augmentation(options: Options, level: Level):
    split = read_manifest(options.layout.dataset).split
    few = replace(options, calibration=CalibrationOptions(calibration_count=5))
    lessons = lessons_at(few, level)
    assert lessons.train == split.train
    assert lessons.validation == split.validation
    assert not {p.sha256 for p in split.test} & {p.sha256 for p in lessons.train}
    # training.json says that finetune did not augment, whatever this command is told
    assert not lessons.augment
    options.layout.training.unlink()
    told = replace(few, training=replace(few.training, augment=True))
    assert lessons_at(told, level).augment


def test_a_folder_of_other_pictures(options: Options, write_photos, tmp_path):
    photos = write_photos(tmp_path / "more", count=8, seed=7)
    given = replace(options, calibration=CalibrationOptions(photos))
    assert lessons_at(given, Level.DISTILLED) is None
    lessons = lessons_at(given, Level.TRAINED)
    assert (len(lessons.train), len(lessons.validation)) == (21, 3)
    plain = tmp_path / "plain"
    plain.mkdir()
    for path in photos.rglob("*.png"):
        path.rename(plain / f"{path.parent.name}-{path.name}")
    unlabelled = replace(options, calibration=CalibrationOptions(plain))
    with pytest.raises(UsageError, match="24 of 24 calibration pictures lie in no folder of a cl"):
        lessons_at(unlabelled, Level.TRAINED)
