"""``.keras`` files: nothing in them runs, and what is wrong with one is said."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from resnet_edge.errors import ModelError, UsageError
from resnet_edge.model import keras_files
from resnet_edge.model.keras_files import check_file, read_keras_file


def tiny() -> keras.Model:
    image = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3, name="conv")(image))
    return keras.Model(image, layers.Dense(2, activation="softmax", name="answer")(x))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    tiny().save(tmp_path / "m.keras")
    return tmp_path / "m.keras"


def edit_config(path: Path, edit: Callable[[str], str]) -> Path:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = edit(members["config.json"].decode()).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_weights_come_back_and_nothing_is_compiled(tmp_path: Path) -> None:
    model = tiny()
    model.compile("adam", "categorical_crossentropy")
    model.save(tmp_path / "m.keras")
    loaded = read_keras_file(tmp_path / "m.keras")
    assert not loaded.compiled
    for got, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_further_members_do_no_harm(saved: Path) -> None:
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr("notes.json", "{}")
    assert read_keras_file(saved).output_shape == (None, 2)


def test_lambda_is_refused_and_does_not_run(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    x = layers.Lambda(lambda t: t * 2, name="twice")(image)
    keras.Model(image, layers.Dense(2)(layers.Flatten()(x))).save(tmp_path / "m.keras")
    with pytest.raises(ModelError) as caught:
        read_keras_file(tmp_path / "m.keras")
    message = str(caught.value)
    assert "m.keras: layer 'twice' is a Lambda layer, which carries code; expected" in message
    assert "replace it by Keras layers (Rescaling" in message


def test_lambda_in_a_nested_model_is_refused(tmp_path: Path) -> None:
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Lambda(lambda t: t, name="deep")])
    image = keras.Input((8, 8, 3))
    keras.Model(image, layers.Flatten()(inner(image))).save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match="layer 'deep' is a Lambda layer"):
        read_keras_file(tmp_path / "m.keras")


def test_safe_mode_holds_where_keras_was_told_otherwise(tmp_path: Path) -> None:
    image = keras.Input((4,))
    keras.Model(image, layers.Lambda(lambda t: t, name="x")(image)).save(tmp_path / "m.keras")
    before = keras.src.saving.serialization_lib.in_safe_mode()
    keras.config.enable_unsafe_deserialization()
    try:
        with pytest.raises(ModelError, match="Lambda layer"):
            read_keras_file(tmp_path / "m.keras")
    finally:
        keras.src.backend.common.global_state.set_global_attribute("safe_mode_saving", before)


@pytest.mark.parametrize("module", ["os", "subprocess", "kerasx.layers", "user_package.layers"])
def test_classes_of_other_modules_are_not_imported(saved: Path, module: str) -> None:
    def edit(text: str) -> str:
        config = json.loads(text)
        config["config"]["layers"][1]["module"] = module
        return json.dumps(config)

    with pytest.raises(ModelError, match=rf"'conv' is of the custom class Conv2D \({module}\)"):
        read_keras_file(edit_config(saved, edit))


def test_registered_custom_class(saved: Path) -> None:
    def edit(text: str) -> str:
        config = json.loads(text)
        config["config"]["layers"][1] |= {"registered_name": "mine>Conv", "module": None}
        return json.dumps(config)

    with pytest.raises(ModelError, match=r"custom class Conv2D \(no module\); expected layers"):
        read_keras_file(edit_config(saved, edit))


def test_unknown_keras_layer(saved: Path) -> None:
    path = edit_config(saved, lambda text: text.replace('"Conv2D"', '"Conv2E"'))
    with pytest.raises(ModelError, match=rf"Keras {keras.__version__} cannot load it \(.*Conv2E"):
        read_keras_file(path)


def test_config_that_is_no_json(saved: Path) -> None:
    with pytest.raises(ModelError, match=r"not a \.keras file, or truncated"):
        read_keras_file(edit_config(saved, lambda text: text[:100]))


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_truncated(saved: Path, share: float) -> None:
    data = saved.read_bytes()
    saved.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match=r"m\.keras: not a \.keras file, or truncated \(.*copy or"):
        read_keras_file(saved)


def test_flipped_bytes_in_the_weights(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        at = archive.getinfo("model.weights.h5").header_offset + 200
    data = bytearray(saved.read_bytes())
    data[at : at + 400] = bytes(400)
    saved.write_bytes(data)
    with pytest.raises(ModelError, match="cannot load it"):
        read_keras_file(saved)


def test_text_file(tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_text("hello")
    with pytest.raises(ModelError, match=r"not a \.keras file, or truncated \(File is not a zip"):
        read_keras_file(tmp_path / "m.keras")


def test_zip_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("cat/1.png", b"")
    with pytest.raises(ModelError, match=r"not a \.keras file, or truncated \(.*config\.json"):
        read_keras_file(tmp_path / "m.keras")


def test_nan_names_the_layer(tmp_path: Path) -> None:
    model = tiny()
    kernel, bias = model.get_layer("conv").get_weights()
    kernel[0, 0, 0, 0] = np.nan
    model.get_layer("conv").set_weights([kernel, bias])
    model.save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match=r"m\.keras: NaN or infinity in the weights of conv; exp"):
        read_keras_file(tmp_path / "m.keras")


def test_bomb_is_not_unpacked(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_files, "MAX_FILE_BYTES", 1000)
    with pytest.raises(ModelError, match=r"unpacks to \d+ bytes; expected at most 1000"):
        read_keras_file(saved)


@pytest.mark.filterwarnings("ignore:You are saving a model that has not")
def test_model_without_a_graph(tmp_path: Path) -> None:
    keras.Sequential([layers.Dense(2)]).save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match="holds a Sequential without a fixed graph"):
        read_keras_file(tmp_path / "m.keras")


def test_layer_instead_of_a_model(saved: Path) -> None:
    def edit(text: str) -> str:
        return json.dumps(json.loads(text)["config"]["layers"][1])

    with pytest.raises(ModelError, match=r"holds a Conv2D without|cannot load it"):
        read_keras_file(edit_config(saved, edit))


def test_paths(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        check_file(tmp_path / "no.keras")
    with pytest.raises(UsageError, match="a folder; expected"):
        check_file(tmp_path)


def test_a_damaged_deflate_stream(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        place = archive.getinfo("config.json").header_offset + 30 + len("config.json")
    damaged = bytearray(saved.read_bytes())
    damaged[place + 2 : place + 40] = b"\xff" * 38
    saved.write_bytes(damaged)
    with pytest.raises(ModelError, match=r"not a .keras file, or truncated \(Error -3 while deco"):
        read_keras_file(saved)


def test_a_description_that_is_nested_too_deeply(saved: Path) -> None:
    edit_config(saved, lambda _: "[" * 100_000)
    with pytest.raises(ModelError, match=r"or truncated \(it is nested too deeply\); expected the"):
        read_keras_file(saved)
