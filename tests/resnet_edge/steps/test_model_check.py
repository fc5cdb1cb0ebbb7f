"""What is said of a model from elsewhere before the work begins."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from resnet_edge.errors import ModelError, UsageError
from resnet_edge.model.model_file import ModelInfo
from resnet_edge.options import DataOptions, ModelOptions, Options
from resnet_edge.steps.export import export
from resnet_edge.steps.model_check import chance_warning, check_model, is_foreign


def save(folder: Path, shape: tuple[int | None, ...], units: int, activation: str) -> Path:
    image = keras.Input(shape)
    x = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255, name="scale")(image))
    keras.Model(image, layers.Dense(units, activation)(x)).save(folder / "m.keras")
    return folder / "m.keras"


def info(preprocessing: str) -> ModelInfo:
    return ModelInfo("m", ("cat", "dog"), preprocessing, "crop", "elsewhere")


def test_notes_and_warnings_are_shown(tmp_path: Path, recorder) -> None:
    path = save(tmp_path, (16, 16, 1), 1, "sigmoid")
    check_model(path, info("unit"), (16, 16), None, recorder)
    unit, grey = recorder.said
    assert unit.startswith("m.keras: one sigmoid unit: exported as two classes, the second of ")
    assert grey.startswith("m.keras: it takes grey pictures: the exported files take RGB and ")
    (warning,) = recorder.warned
    assert warning.startswith("m.keras: the model scales pixels itself: layer 'scale' makes 0 to 1")


def test_export_names_layers_called_in_training_before_it_converts(
    cli, tmp_path: Path, monkeypatch
) -> None:
    image = keras.Input((16, 16, 3))
    x = layers.Dropout(0.5, name="monte_carlo")(image, training=True)
    x = layers.BatchNormalization(name="norm")(x, training=True)
    x = layers.Dropout(0.5, name="plain")(layers.GlobalAveragePooling2D()(x))
    keras.Model(image, layers.Dense(2, "softmax")(x)).save(tmp_path / "m.keras")
    monkeypatch.setattr(
        "resnet_edge.steps.export.convert", lambda *_: {"fp32.onnx": ModelError("not converted")}
    )
    words = ("--preprocessing", "unit", "--formats", "fp32.onnx", "--out", tmp_path / "out")
    ran = cli("export", tmp_path / "m.keras", *words)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[-2:] == [
        "m.keras: 'monte_carlo', 'norm': called with training=True; the exported files answer as "
        "in inference, like Keras' predict, and unlike model(pictures), which is random or depends "
        "on the batch",
        "error: fp32.onnx: not converted; leave it out with --formats",
    ]


@pytest.mark.parametrize("preprocessing", ["caffe", "torch"])
def test_grey_pictures_have_no_colours(preprocessing: str, tmp_path: Path, recorder) -> None:
    path = save(tmp_path, (16, 16, 1), 2, "softmax")
    with pytest.raises(
        UsageError, match=rf"got {preprocessing}, which is of three colours; .*grey"
    ):
        check_model(path, info(preprocessing), (16, 16), None, recorder)


def test_a_refusal_comes_before_any_work(tmp_path: Path) -> None:
    path = save(tmp_path, (16, 16, 3), 3, "sigmoid")
    options = Options(
        out=tmp_path / "out",
        formats=("fp32.tflite",),
        model=ModelOptions(preprocessing="none"),
        data=DataOptions(),
    )
    with pytest.raises(ModelError, match="multi-label"):
        export(options, path)
    assert not (tmp_path / "out" / "artifacts").exists()


def test_a_model_that_tells_its_preprocessing_is_not_foreign(edge_model: Path, tmp_path: Path):
    assert not is_foreign(Options(), edge_model)
    assert is_foreign(Options(model=ModelOptions(preprocessing="unit")), edge_model)
    assert is_foreign(Options(), save(tmp_path, (16, 16, 3), 2, "softmax"))


def test_chance() -> None:
    classes = np.arange(40) % 2
    right = np.eye(2)[classes]
    assert chance_warning(right, classes, ("a", "b"), "caffe") is None
    half = np.eye(2)[np.zeros(40, int)]
    warning = chance_warning(half, classes, ("a", "b"), "caffe")
    assert warning == (
        "20 of 40 test pictures are answered right, as by chance among 2 classes; check "
        "--preprocessing (now caffe), and that the names of the classes are in the order of the "
        "model's outputs"
    )
    assert chance_warning(half[:20], classes[:20], ("a", "b"), "caffe") is None  # too few to tell
