from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import keras
import pytest

from resnet_edge.errors import ArtifactError
from resnet_edge.inspection.contents import Count, Endpoint, WeightGroup
from resnet_edge.inspection.keras_h5 import read_keras_h5
from resnet_edge.inspection.keras_model import read_keras_model
from resnet_edge.model.model_file import ModelInfo, write_model


def tiny_model(name: str = "tiny") -> keras.Model:
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(2, 3, use_bias=False, name="conv")(image)
    x = keras.layers.BatchNormalization(name="bn")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(0.5, name="dropout")(x)
    answer = keras.layers.Dense(3, activation="softmax", name="answer")(x)
    return keras.Model(image, answer, name=name)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, labels: tuple[str, ...]) -> Path:
    path = tmp_path_factory.mktemp("keras") / "model.keras"
    info = ModelInfo("pets", labels, "caffe", "crop", "trained from nothing")
    write_model(path, tiny_model(), info)
    return path


@pytest.fixture
def path(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(saved, tmp_path / "model.keras"))


def replace_member(path: Path, name: str, content: bytes | None) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {n: archive.read(n) for n in archive.namelist() if n != name}
    if content is not None:
        members[name] = content
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)


def test_the_network_is_read(path: Path, labels: tuple[str, ...]) -> None:
    contents = read_keras_model(path)
    assert contents.inputs == (Endpoint("image", "float32", (None, 8, 8, 3)),)
    assert contents.outputs == (Endpoint("answer", "float32", (None, 3)),)
    assert contents.operators == tuple(
        Count(name, 1)
        for name in ("BatchNormalization", "Conv2D", "Dense", "Dropout", "GlobalAveragePooling2D")
    )
    assert contents.parameters == 54 + 8 + 6 + 3 == tiny_model().count_params()
    assert contents.weights == (WeightGroup("float32", "not quantized", 7, 71),)
    assert contents.quantization == "none"
    assert contents.labels == labels
    assert contents.model_name == "pets"
    assert contents.metadata["preprocessing"] == "caffe"
    assert contents.metadata["keras"] == keras.__version__


def test_the_optimizer_is_no_part_of_the_network(tmp_path: Path) -> None:
    model = tiny_model()
    model.compile("adam", "categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "compiled.keras")
    contents = read_keras_model(tmp_path / "compiled.keras")
    assert contents.parameters == 71
    assert contents.labels is None
    assert contents.model_name == "tiny"


def test_a_model_inside_a_model(tmp_path: Path) -> None:
    outer = keras.Sequential([keras.Input((8, 8, 3)), tiny_model("inner")], name="outer")
    outer.save(tmp_path / "nested.keras")
    contents = read_keras_model(tmp_path / "nested.keras")
    assert contents.inputs[0].shape == (None, 8, 8, 3)
    assert contents.outputs == (Endpoint("inner", "float32", (None, 3)),)
    assert Count("Conv2D", 1) in contents.operators
    assert contents.parameters == 71


def test_a_layer_with_code_is_shown_and_not_run(tmp_path: Path) -> None:
    image = keras.Input((4,))
    answer = keras.layers.Lambda(lambda x: x * 2.0, output_shape=(4,))(image)
    keras.Model(image, answer).save(tmp_path / "lambda.keras")
    contents = read_keras_model(tmp_path / "lambda.keras")
    assert contents.operators == (Count("Lambda", 1),)
    assert contents.outputs[0].shape is None


def test_garbage(tmp_path: Path) -> None:
    path = tmp_path / "x.keras"
    path.write_bytes(b"hello, I am no model")
    with pytest.raises(ArtifactError) as problem:
        read_keras_model(path)
    assert str(problem.value) == (
        f"{path}: truncated, damaged or no .keras file (File is not a zip file); "
        "expected the zip that model.save('NAME.keras') writes; save or copy it again"
    )


def test_truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"truncated, damaged or no .keras file"):
        read_keras_model(path)


@pytest.mark.parametrize(
    ("member", "content"),
    [
        ("config.json", None),
        ("config.json", b"{"),
        ("config.json", b"[]"),
        ("config.json", b'{"config": {"name": "x", "input_layers": ["gone", 0, 0]}}'),
        ("metadata.json", None),
        ("model.weights.h5", b"no HDF5"),
    ],
)
def test_a_damaged_member(path: Path, member: str, content: bytes | None) -> None:
    replace_member(path, member, content)
    with pytest.raises(ArtifactError, match=r"truncated, damaged or no .keras file"):
        read_keras_model(path)


def test_a_damaged_description_of_ours(path: Path) -> None:
    replace_member(path, "resnet_edge.json", json.dumps({"name": "pets"}).encode())
    with pytest.raises(ArtifactError, match=r"resnet_edge.json: key 'labels' is missing"):
        read_keras_model(path)


def test_a_configuration_of_absurd_size(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_edge.inspection.keras_model.MAX_CONFIG_BYTES", 10)
    with pytest.raises(ArtifactError, match=r"config.json unpacks to more than 10 bytes"):
        read_keras_model(path)


def test_without_weights_that_is_said(path: Path) -> None:
    replace_member(path, "model.weights.h5", None)
    contents = read_keras_model(path)
    assert contents.parameters is None
    assert contents.notes == ("it has no model.weights.h5: weights are not shown",)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_h5_files(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3), name="picture")
    x = keras.layers.Dense(2, name="answer")(keras.layers.Flatten()(image))
    model = keras.Model(image, x, name="old")
    model.save(tmp_path / "m.h5")
    contents = read_keras_h5(tmp_path / "m.h5")
    assert contents.model_name == "old"
    assert contents.parameters == 8 * 8 * 3 * 2 + 2
    assert contents.inputs[0].shape == (None, 8, 8, 3)
    assert contents.metadata["keras"] == keras.__version__
    model.save_weights(tmp_path / "m.weights.h5")
    alone = read_keras_h5(tmp_path / "m.weights.h5")
    assert alone.notes == ("it holds weights alone, without the network",)
    (tmp_path / "m.h5").write_bytes(b"hello")
    with pytest.raises(ArtifactError, match=r"m\.h5: truncated, damaged or no HDF5 file"):
        read_keras_h5(tmp_path / "m.h5")
