"""Calibration pictures with labels are divided to train and to validate."""

from pathlib import Path

import pytest

from resnet_edge.data.calibration import CalibrationSet
from resnet_edge.data.lessons import lessons_of
from resnet_edge.data.pictures import Picture
from resnet_edge.data.places import FilePlace
from resnet_edge.errors import UsageError

LABELS = ("cat", "Süße Hunde")


def picture(name: str, label: int) -> Picture:
    return Picture(FilePlace(Path("/photos") / name), name, label, f"{hash(name):x}")


def calibration(pictures: list[Picture]) -> CalibrationSet:
    return CalibrationSet(tuple(pictures), LABELS, 200, 0, "folder photos")


def test_every_seventh_of_a_class_validates():
    pictures = [picture(f"cat/{i}.png", 0) for i in range(15)]
    pictures += [picture(f"train/Süße Hunde/{i}.png", 1) for i in range(7)]
    lessons = lessons_of(calibration(pictures), augment=False)
    assert [p.name for p in lessons.validation] == [
        *("cat/6.png", "cat/13.png", "train/Süße Hunde/6.png"),
    ]
    assert len(lessons.train) == 19
    assert not {*lessons.train} & {*lessons.validation}
    assert not lessons.augment


def test_a_folder_of_another_name_gives_no_label():
    pictures = [picture(f"cat/{i}.png", 0) for i in range(9)] + [picture("more/9.png", 0)]
    with pytest.raises(UsageError) as caught:
        lessons_of(calibration(pictures), augment=True)
    assert str(caught.value) == (
        "--quantization trained learns from labels: 1 of 10 calibration pictures lie in no folder "
        "of a class, the first is more/9.png; expected a folder per class, named cat, Süße Hunde, "
        "…; move them, or pass --quantization distilled, which needs no labels"
    )


def test_too_few_to_validate():
    pictures = [picture(f"cat/{i}.png", 0) for i in range(6)]
    with pytest.raises(UsageError, match="6 calibration pictures, at most 6 of a class; expected"):
        lessons_of(calibration(pictures), augment=True)
