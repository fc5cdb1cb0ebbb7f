from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_edge.data.manifest import read_manifest
from resnet_edge.errors import ModelError, UsageError
from resnet_edge.model.model_file import read_model_info
from resnet_edge.options import DataOptions, ModelOptions, Options
from resnet_edge.steps.finetune import finetune
from resnet_edge.training.training_settings import TrainingSettings

SHORT = TrainingSettings(epochs=2, augment=False)


@pytest.fixture
def short(options_for, tmp_path) -> Options:
    return replace(options_for(tmp_path / "out"), training=SHORT)


def test_what_a_training_leaves(edge_build: Path):
    info = read_model_info(edge_build / "model.keras")
    assert info is not None
    assert (info.labels, info.preprocessing, info.fit) == (("blue", "green", "red"), "unit", "crop")
    assert info.weights == "edge.keras, fine-tuned"
    training = json.loads((edge_build / "training.json").read_text())
    assert training["mode"] == "a new head on the features of the frozen backbone"
    assert training["history"][0]["loss"] > 0
    assert training["settings"]["learning_rate"] == 0.2
    dataset = json.loads((edge_build / "dataset.json").read_text())
    assert sum(len(dataset[side]) for side in ("train", "validation", "test")) == 60
    calibration = json.loads((edge_build / "calibration.json").read_text())
    assert {p["sha256"] for p in calibration["pictures"]} <= {p["sha256"] for p in dataset["train"]}


def test_the_api_agrees_with_the_command_line(options: Options, recorder):
    done = finetune(options, recorder)
    assert not done.rebuilt
    assert recorder.said[-1] == f"{done.model} is up to date"
    assert done.record.settings == options.training


def test_it_says_what_it_does_and_assumes(short: Options, plain_model: Path, recorder):
    plain = replace(short, model=ModelOptions(str(plain_model)))
    assert finetune(plain, recorder).rebuilt
    assert recorder.warned == [
        "plain.keras does not say what it expects of pictures; 'caffe' is assumed; "
        "pass --preprocessing if it is another"
    ]
    assert recorder.said[0].endswith("of the training split calibrate")
    assert recorder.said[1] == "pictures at 32x32: the only size that plain.keras takes"
    assert recorder.said[2] == "plain.keras is a network of its own (plain); kept as it is"
    assert [text.split(":")[0] for text in recorder.said[3:]] == [
        "epoch   1 (head)",
        "epoch   2 (head)",
    ]
    other = replace(plain, model=ModelOptions(str(plain_model), preprocessing="tf"))
    assert finetune(other, recorder).rebuilt
    info = read_model_info(short.layout.model)
    assert info is not None
    assert info.preprocessing == "tf"


def test_a_users_keras_json_changes_no_weight(
    cli_process, edge_photos: Path, edge_model: Path, tmp_path
):
    """A new head and an unfrozen stage, with augmentation, under other defaults of Keras."""
    settings = {"floatx": "float16", "image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps({**settings, "backend": "tensorflow"}))
    words = ("--data", edge_photos, "--weights", edge_model, "--epochs", "1", "--unfreeze", "1")
    ran = cli_process("finetune", *words, "--out", "theirs", KERAS_HOME=str(tmp_path))
    assert ran.code == 0, ran.err
    plain = Options(
        tmp_path / "plain",
        data=DataOptions(edge_photos),
        model=ModelOptions(str(edge_model)),
        training=TrainingSettings(epochs=1, unfreeze=1),
    )
    finetune(plain)
    assert_same_weights(tmp_path / "theirs", plain.out)


def assert_same_weights(one: Path, other: Path) -> None:
    import keras
    import numpy as np

    first, second = (
        keras.saving.load_model(out / "model.keras").get_weights() for out in (one, other)
    )
    for weight, expected in zip(first, second, strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-6, atol=1e-7)


def test_the_same_again_gives_the_same_weights(short: Options, tmp_path):
    finetune(short)
    finetune(replace(short, out=tmp_path / "other"))
    assert_same_weights(short.out, tmp_path / "other")


def test_damaged_outputs_are_made_again(options: Options):
    options.layout.model.write_bytes(options.layout.model.read_bytes()[:-9])
    assert finetune(replace(options, training=SHORT)).rebuilt
    assert not finetune(replace(options, training=SHORT)).rebuilt
    options.layout.training.unlink()
    assert finetune(replace(options, training=SHORT)).rebuilt


def test_another_backend_is_refused(short: Options, monkeypatch):
    monkeypatch.setattr("resnet_edge.steps.finetune.keras_backend", lambda: "jax")
    with pytest.raises(UsageError) as caught:
        finetune(short)
    assert str(caught.value) == (
        "KERAS_BACKEND: got jax; expected tensorflow, which fine-tuning needs; unset it here, and "
        "set it for `resnet-edge reference` alone"
    )


def test_weights_that_are_not_there(short: Options):
    gone = replace(short, model=ModelOptions("gone.keras"))
    with pytest.raises(UsageError, match=r"^gone.keras: no such file; expected a .keras model or"):
        finetune(gone)
    assert not short.layout.model.exists()


def test_weights_that_say_nonsense_of_themselves(short: Options, edge_model: Path, tmp_path):
    import shutil
    import zipfile

    damaged = tmp_path / "damaged.keras"
    shutil.copy(edge_model, damaged)
    about = {"name": "x", "labels": [], "preprocessing": "coffee", "fit": "crop", "weights": ""}
    with (
        zipfile.ZipFile(edge_model) as source,
        zipfile.ZipFile(damaged, "w") as target,
    ):
        for member in source.namelist():
            data = source.read(member)
            target.writestr(member, json.dumps(about) if member.startswith("resnet") else data)
    with pytest.raises(ModelError, match=r"resnet_edge.json: preprocessing is 'coffee'; expected"):
        finetune(replace(short, model=ModelOptions(str(damaged))))


def test_photos_beside_our_own_output(short: Options, write_photos, tmp_path, monkeypatch):
    """The second run took ``build/model.keras`` for a damaged picture."""
    root = write_photos(tmp_path / "here", count=24)
    monkeypatch.chdir(root)
    here = replace(short, data=DataOptions(Path()), out=Path("build"))
    assert finetune(here).rebuilt
    other = replace(here, out=Path("build 2"))
    assert finetune(other).rebuilt  # and the first build is no data of the second
    assert not finetune(here).rebuilt
    dataset = json.loads((root / "build 2" / "dataset.json").read_text())
    assert dataset["labels"] == ["blue", "green", "red"]
    assert sum(len(dataset[side]) for side in ("train", "validation", "test")) == 72


def test_a_split_by_folders_trains_on_its_side(short: Options, write_photos, tmp_path):
    root = tmp_path / "photos"
    for seed, side in enumerate(("seg_train", "seg_val", "seg_test")):
        write_photos(root / side / side, count=12, seed=seed)
    finetune(replace(short, data=DataOptions(root)))
    dataset = json.loads((short.out / "dataset.json").read_text())
    assert dataset["split_reason"] == "as it was given"
    for side, folder in (("train", "seg_train"), ("validation", "seg_val"), ("test", "seg_test")):
        assert {p["name"].split("/")[0] for p in dataset[side]} == {folder}
        assert len(dataset[side]) == 36
    calibration = json.loads((short.out / "calibration.json").read_text())
    assert {p["name"].split("/")[0] for p in calibration["pictures"]} == {"seg_train"}
    training = json.loads((short.out / "training.json").read_text())
    assert (training["train_pictures"], training["validation_pictures"]) == (36, 36)


def test_a_network_of_other_height_than_width(short: Options, tmp_path: Path, recorder):
    import keras

    from resnet_edge.model.classifiers import picture_size
    from resnet_edge.steps.known_model import describe_for_export, describe_for_reference

    path = tmp_path / "wide.keras"
    x = keras.Input((24, 40, 3))
    y = keras.layers.Conv2D(4, 3, strides=2, activation="relu")(x)
    y = keras.layers.Flatten()(y)  # it fits no other height or width
    keras.Model(x, keras.layers.Dense(3, activation="softmax")(y), name="wide").save(path)
    options = replace(short, model=ModelOptions(str(path), preprocessing="tf"))
    done = finetune(options, recorder)
    assert "pictures at 24x40: the only size that wide.keras takes" in recorder.said
    assert picture_size(done.model) == (24, 40)
    assert read_manifest(options.layout.dataset).size == (24, 40)
    for describe in (describe_for_export, describe_for_reference):
        info = describe(Options(options.out), done.model, recorder)
        assert (info.fit, info.preprocessing) == ("crop", "tf")
    assert not finetune(options, recorder).rebuilt
