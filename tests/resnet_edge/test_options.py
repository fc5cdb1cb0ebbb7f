from __future__ import annotations

from pathlib import Path

import pytest

from resnet_edge.errors import UsageError
from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES
from resnet_edge.ondevice.formats.names import parse_formats
from resnet_edge.options import (
    EMBEDDED_DATA,
    CalibrationOptions,
    DataOptions,
    ModelOptions,
    Options,
)


def test_defaults_are_the_embedded_digits_and_the_default_artifacts():
    options = Options()
    assert options.data.data == EMBEDDED_DATA
    assert EMBEDDED_DATA.is_file()
    assert options.formats is None
    assert options.formats_to_make == tuple(n for n in ARTIFACT_NAMES if n != "int16x8.tflite")
    assert Options(formats=("int16x8.tflite",)).formats_to_make == ("int16x8.tflite",)
    assert options.out == Path("build")


def test_layout():
    layout = Options(out=Path("o")).layout
    names = ["model", "training", "dataset", "calibration", "artifacts", "reference", "parity"]
    assert [getattr(layout, name).as_posix() for name in names] == [
        *("o/model.keras", "o/training.json", "o/dataset.json", "o/calibration.json"),
        *("o/artifacts", "o/reference.npz", "o/results/parity.json"),
    ]


def test_formats_come_in_the_order_of_the_tables_and_once():
    assert parse_formats("int8.onnx, fp32.tflite,fp32.tflite,") == ("fp32.tflite", "int8.onnx")


def test_one_word_for_every_format():
    assert parse_formats("all") == parse_formats("fp32.tflite, all") == ARTIFACT_NAMES


def test_a_misspelt_format_is_guessed():
    with pytest.raises(UsageError) as caught:
        parse_formats("fp32.tflite,fp61.tflite")
    assert str(caught.value) == (
        "--formats: no such artifact: fp61.tflite; did you mean fp16.tflite? "
        f"expected all, or some of {', '.join(ARTIFACT_NAMES)}"
    )
    with pytest.raises(
        UsageError, match=r"no such artifact: coreml; expected all, or some of saved"
    ):
        parse_formats("coreml")
    with pytest.raises(UsageError, match=r"^--formats: nothing given; expected all, or some of"):
        parse_formats(" , ")


@pytest.mark.parametrize("side", [0, 31, 4097, -5])
def test_picture_sides(side):
    with pytest.raises(UsageError, match=rf"^--image-size: got {side}; expected 32 to 4096 pixels"):
        DataOptions(image_size=side)


def test_folders_that_are_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"^--data: no such folder or zip: .*gone; expected one"):
        DataOptions(tmp_path / "gone")
    with pytest.raises(UsageError, match=r"^--test: no such folder or zip: .*gone; expected one"):
        DataOptions(test=tmp_path / "gone")
    with pytest.raises(UsageError, match=r"^--calibration: no such folder: .*gone; expected a fol"):
        CalibrationOptions(tmp_path / "gone")


def test_calibration_count():
    with pytest.raises(UsageError, match=r"^--calibration-count: got 0; expected at least 1$"):
        CalibrationOptions(calibration_count=0)


def test_preprocessing_is_one_of_those_that_are_known():
    assert ModelOptions(preprocessing="none").preprocessing == "none"
    with pytest.raises(UsageError) as caught:
        ModelOptions(preprocessing="coffee")
    assert str(caught.value) == (
        "--preprocessing: got coffee; expected one of caffe, torch, tf, unit, none"
    )
