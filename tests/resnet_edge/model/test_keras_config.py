"""Descriptions of networks: nothing but Keras' layers is resolved, and what training needs goes."""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import h5py
import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from resnet_edge.errors import ModelError
from resnet_edge.model.keras_config import Origin, prepare_config
from resnet_edge.model.keras_files import load_network

Edit = Callable[[dict[str, object]], object]


def tiny() -> keras.Model:
    image = keras.Input((8, 8, 3))
    x = layers.Dense(4, activation="relu", name="hidden")(layers.Flatten()(image))
    return keras.Model(image, layers.Dense(2, activation="softmax", name="answer")(x))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    tiny().save(tmp_path / "m.keras")
    return tmp_path / "m.keras"


def rewrite(path: Path, member: str, data: bytes) -> Path:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, member: data}.items():
            archive.writestr(name, content)
    return path


def edit_layer(path: Path, name: str, **settings: object) -> Path:
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    for layer in config["config"]["layers"]:
        if layer["name"] == name:
            layer["config"] |= settings
    return rewrite(path, "config.json", json.dumps(config).encode())


def function(module: str, name: str) -> dict[str, str]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras.utils", "get_file"),
        ("keras.datasets.mnist", "load_data"),
        ("keras.models", "load_model"),
        ("keras.saving", "load_weights"),
        ("keras.config", "enable_unsafe_deserialization"),
        ("keras.src.saving.saving_api", "load_model"),
        ("keras.activations", "deserialize"),
        ("keras.activations", "_private"),
        ("builtins", "eval"),
        ("builtins", "get_file"),
        ("os", "system"),
        ("my_package", "swishy"),
    ],
)
def test_no_function_but_activations_is_resolved(saved: Path, module: str, name: str) -> None:
    edit_layer(saved, "hidden", activation=function(module, name))
    with mock.patch("keras.saving.deserialize_keras_object") as build:
        with pytest.raises(ModelError) as caught:
            load_network(saved)
        build.assert_not_called()
    message = str(caught.value)
    assert f"layer 'hidden' calls the function {name} ({module}); expected an activation" in message


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        ("keras.utils", "get_file"),
        ("keras.utils", "Sequence"),
        ("keras.callbacks", "ModelCheckpoint"),
        ("keras.layers", "TFSMLayer"),
        ("keras.src.saving.saving_lib", "H5IOStore"),
    ],
)
def test_no_class_but_layers_and_their_parts_is_resolved(
    saved: Path, module: str, kind: str
) -> None:
    part = {"module": module, "class_name": kind, "config": {}, "registered_name": None}
    edit_layer(saved, "hidden", activation=part)
    with mock.patch("keras.saving.deserialize_keras_object") as build:
        with pytest.raises(ModelError, match=rf"hidden.*{kind}|{kind}.*hidden"):
            load_network(saved)
        build.assert_not_called()


@pytest.mark.parametrize(
    "lookup",
    [
        {"module": "keras.layers", "class_name": "StringLookup"},
        {"module": "keras.layers", "class_name": "IntegerLookup"},
        {"module": "keras.layers", "class_name": "TextVectorization"},
        {
            "module": "keras.src.layers.preprocessing.index_lookup",
            "class_name": "IndexLookup",
        },
    ],
)
@pytest.mark.parametrize("place", ["a layer", "a part of one", "in a model"])
def test_no_file_that_a_model_names_is_opened(
    lookup: dict[str, object], place: str, saved: Path, tmp_path: Path
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("cat\ndog\n")
    entry = {**lookup, "config": {"name": "words", "vocabulary": str(words)}}
    if place == "a layer":
        with zipfile.ZipFile(saved) as archive:
            config = json.loads(archive.read("config.json"))
        config["config"]["layers"].append({**entry, "name": "words", "inbound_nodes": []})
        rewrite(saved, "config.json", json.dumps(config).encode())
    elif place == "a part of one":
        edit_layer(saved, "hidden", activation=entry)
    else:
        inner = {"name": "inner", "layers": [entry]}
        model = {"module": "keras", "class_name": "Sequential", "config": inner}
        edit_layer(saved, "hidden", layer=model)
    with (
        mock.patch("tensorflow.io.gfile.exists") as looked_for,
        mock.patch("tensorflow.io.gfile.GFile") as opened,
        mock.patch("builtins.open", side_effect=AssertionError("opened")),
    ):
        with pytest.raises(ModelError) as caught:
            load_network(saved)
        looked_for.assert_not_called()
        opened.assert_not_called()
    assert str(caught.value) == (
        f"{saved}: layer 'words' is a {lookup['class_name']} that names the file {str(words)!r} "
        "as its vocabulary; expected a list of words, since no file that a model names is opened; "
        "give the layer that list and save the model again"
    )


def test_keras_itself_opens_a_vocabulary(tmp_path: Path) -> None:
    with mock.patch("tensorflow.io.gfile.exists", return_value=False) as looked_for:
        with pytest.raises(ValueError, match=r"does not exist"):
            layers.StringLookup(vocabulary=str(tmp_path / "words.txt"))
        looked_for.assert_called_once()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["class_name", "module", "config", "name", "dtype", "activation"])
                | st.text(max_size=4),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_taken_or_refused_clearly(value: object) -> None:
    for config in (value, {"class_name": "Functional", "config": value}):
        with contextlib.suppress(ModelError):
            prepare_config(config, Origin(Path("m.keras"), "3.0"))  # type: ignore[arg-type]


def test_ops_and_activations_of_keras_are_taken(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    x = layers.Dense(4, activation=keras.ops.gelu)(keras.ops.mean(image, axis=(1, 2)))
    model = keras.Model(image, layers.Dense(2, activation="softmax")(x * 2.0 + 1.0))
    model.save(tmp_path / "m.keras")
    pictures = np.ones((1, 8, 8, 3), np.float32)
    loaded = load_network(tmp_path / "m.keras").model
    theirs = keras.saving.load_model(tmp_path / "m.keras")  # its gelu is that of the layers
    np.testing.assert_allclose(loaded(pictures), theirs(pictures), atol=1e-6)


class _Loss(keras.losses.Loss):
    def call(self, y_true: object, y_pred: object) -> object:
        return keras.ops.mean(y_pred)


def _measure(y_true: object, y_pred: object) -> object:
    return keras.ops.mean(y_pred)


class _Schedule(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step: object) -> float:
        return 0.1

    def get_config(self) -> dict[str, object]:
        return {}


class _Penalty(keras.regularizers.Regularizer):
    def __call__(self, x: object) -> object:
        return keras.ops.sum(x)

    def get_config(self) -> dict[str, object]:
        return {}


def test_custom_parts_of_the_training_do_no_harm(tmp_path: Path) -> None:
    """Also where a nested model has them, and a layer a regularizer of its own."""
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten()], name="inner")
    inner.compile(keras.optimizers.SGD(_Schedule()), _Loss())
    image = keras.Input((8, 8, 3))
    x = layers.Dense(2, activation="softmax", kernel_regularizer=_Penalty())(inner(image))
    model = keras.Model(image, x)
    model.compile(keras.optimizers.Adam(_Schedule()), _Loss(), metrics=[_measure])
    model.save(tmp_path / "m.keras")
    loaded = load_network(tmp_path / "m.keras").model
    assert not loaded.compiled
    pictures = np.ones((1, 8, 8, 3), np.float32)
    np.testing.assert_allclose(loaded(pictures), model(pictures), atol=1e-6)


def test_more_weights_than_the_file_holds_are_not_allocated(saved: Path) -> None:
    edit_layer(saved, "hidden", units=100_000_000_000)
    with pytest.raises(ModelError) as caught:
        load_network(saved)
    message = str(caught.value)
    assert "declares a weight of shape (192, 100000000000) in layer 'hidden'" in message
    assert "holds 782 values in all; expected the weights of every layer" in message  # 768+4+8+2


def test_weights_that_keras_leaves_at_random_are_named(saved: Path) -> None:
    """Keras only warns where a group of weights is not in the file."""
    with (
        mock.patch.object(keras.Model, "load_weights"),
        pytest.raises(ModelError, match=r"it holds no weights for hidden/kernel, hidden/bias, ans"),
    ):
        load_network(saved)


def test_claimed_values_without_bytes_do_not_count(saved: Path, tmp_path: Path) -> None:
    """A chunked array that was never written takes no room in the file, whatever it claims."""
    weights = tmp_path / "w.h5"
    with h5py.File(weights, "w") as file:
        file.create_dataset("big", (1 << 40,), np.float32, chunks=(1 << 20,))
    rewrite(saved, "model.weights.h5", weights.read_bytes())
    edit_layer(saved, "hidden", units=10_000_000)
    with pytest.raises(ModelError, match=r"declares a weight .* holds 0 values in all"):
        load_network(saved)


def test_a_newer_keras_is_named(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        text = archive.read("config.json").decode()
    rewrite(saved, "metadata.json", b'{"keras_version": "99.1.0"}')
    rewrite(saved, "config.json", text.replace('"Flatten"', '"Flatten9"').encode())
    with pytest.raises(ModelError) as caught:
        load_network(saved)
    message = str(caught.value)
    assert "is a Flatten9 of keras.layers, which this version does not have" in message
    assert "it was written by Keras 99.1.0, which is newer; install that version" in message


def test_keras_own_reason_is_shown(saved: Path) -> None:
    edit_layer(saved, "hidden", unheard_of=3)
    with pytest.raises(ModelError) as caught:
        load_network(saved)
    assert "Unrecognized keyword arguments passed to Dense: {'unheard_of': 3}" in str(caught.value)


def test_subclassed_model(saved: Path) -> None:
    root = {"module": "my.nets", "class_name": "Net", "config": {}, "registered_name": "Net"}
    rewrite(saved, "config.json", json.dumps(root).encode())
    with pytest.raises(ModelError) as caught:
        load_network(saved)
    message = str(caught.value)
    assert (
        "the model is of the custom class Net (my.nets), whose code is not in the file" in message
    )
    assert "keras.Model(inputs, model.call(inputs)).save('NAME.keras')" in message


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"class_name": ' + b"9" * 5000 + b"}",
        b'{"class_name": "\\ud800"}',
        b"\xff\xfe",
        b"null",
        b"[]",
        b'{"class_name": "Functional"}',
        b'{"class_name": "Functional", "module": "keras.src.models.functional", "config": 1}',
    ],
)
def test_damaged_descriptions(saved: Path, text: bytes) -> None:
    rewrite(saved, "config.json", text)
    with pytest.raises(ModelError, match=r"m\.keras: "):
        load_network(saved)


def test_damaged_compression(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        at = archive.getinfo("config.json").header_offset + 60
    data = bytearray(saved.read_bytes())
    data[at : at + 40] = b"\xff" * 40
    saved.write_bytes(data)
    with pytest.raises(ModelError, match=r"not a \.keras file, or truncated"):
        load_network(saved)
