"""Files of Keras 2: what they compute is what Keras 3 computes, or they are refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from resnet_edge.errors import ModelError
from resnet_edge.model.classifiers import read_classifier
from resnet_edge.model.keras2_config import from_keras2
from resnet_edge.model.keras_config import Origin
from resnet_edge.model.keras_files import load_network

PICTURES = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.float32)


def layer(kind: str, name: str, *inputs: object, **config: object) -> dict[str, Any]:
    """A layer as Keras 2 writes it, called once."""
    nodes = [[[name_, call, 0, {}] for name_, call in inputs]] if inputs else []  # type: ignore[misc]
    return {
        "class_name": kind,
        "config": {"name": name, "trainable": True, "dtype": "float32", **config},
        "name": name,
        "inbound_nodes": nodes,
    }


def operator(function: str, name: str, first: list[object], **named: object) -> dict[str, Any]:
    kind = "SlicingOpLambda" if "getitem" in function else "TFOpLambda"
    node = [*first, {**named, "name": None}]
    return {**layer(kind, name, function=function), "inbound_nodes": [node]}


def functional(name: str, inner: list[dict[str, Any]]) -> dict[str, Any]:
    config = {
        "name": name,
        "trainable": True,
        "layers": inner,
        "input_layers": [[inner[0]["name"], 0, 0]],
        "output_layers": [[inner[-1]["name"], 0, 0]],
    }
    return {"class_name": "Functional", "config": config}


def picture_input(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    ours = {"batch_input_shape": [None, *shape], "sparse": False, "ragged": False}
    return layer("InputLayer", name, **ours)


def keras2_config() -> dict[str, Any]:
    """``preprocess_input`` of mode caffe, a nested base called as call 1, and a head."""
    initializer = {"class_name": "GlorotUniform", "config": {"seed": None}}
    depthwise = {
        "kernel_size": [3, 3],
        "groups": 1,
        "depthwise_initializer": initializer,
        "activation": "swish",
    }
    base = functional(
        "base",
        [
            picture_input("inner", (8, 8, 3)),
            layer("DepthwiseConv2D", "stage/depthwise", ("inner", 0), **depthwise),
            layer("BatchNormalization", "stage/norm", ("stage/depthwise", 0), axis=[3]),
            layer("LeakyReLU", "leaky", ("stage/norm", 0), alpha=0.125),
        ],
    )
    ellipsis: list[object] = [{"class_name": "__ellipsis__"}]
    turned = [*ellipsis, {"start": None, "stop": None, "step": -1}]
    outer = [
        picture_input("picture", (8, 8, 3)),
        layer("RandomFlip", "flip", ("picture", 0), mode="horizontal", rng_type="stateful"),
        operator("__operators__.getitem", "turn", ["flip", 0, 0], slice_spec=turned),
        operator("nn.bias_add", "shift", ["turn", 0, 0], bias=[-100.0, -110.0, -120.0]),
        operator("math.truediv", "scale", ["shift", 0, 0], y=64.0),
        {**base, "name": "base", "inbound_nodes": [[["scale", 0, 0, {"training": False}]]]},
        operator("math.subtract", "from_one", ["_CONSTANT_VALUE", -1, 1.0], y=["base", 1, 0]),
        layer("GlobalAveragePooling2D", "pool", ("from_one", 0)),
        layer("Dense", "answer", ("pool", 0), units=2, activation="softmax_v2"),
    ]
    return functional("mine", outer)


def same_in_keras3() -> keras.Model:
    """The same network, written in Keras 3 by hand."""
    inner = keras.Input((8, 8, 3))
    x = layers.DepthwiseConv2D(3, activation="silu")(inner)
    x = layers.LeakyReLU(negative_slope=0.125)(layers.BatchNormalization()(x))
    base = keras.Model(inner, x)
    image = keras.Input((8, 8, 3))
    x = (image[..., ::-1] - np.array([100.0, 110.0, 120.0], np.float32)) / 64.0
    x = layers.GlobalAveragePooling2D()(1.0 - base(x))
    model = keras.Model(image, layers.Dense(2, activation="softmax")(x))
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.2, 1, w.shape) for w in model.get_weights()])
    return model


def write_h5(path: Path, model: keras.Model, config: dict[str, Any], version: str) -> Path:
    model.save(path)
    with h5py.File(path, "a") as file:
        file.attrs["keras_version"] = version
        file.attrs["model_config"] = json.dumps(config)
    return path


MODULES = {
    "Functional": "keras.src.engine.functional",
    "TFOpLambda": "keras.src.layers.core.tf_op_layer",
    "SlicingOpLambda": "keras.src.layers.core.tf_op_layer",
}


def as_v3_file(value: Any, package: str) -> Any:
    """Write a description as Keras 2 has it in a ``.keras`` file: every object names its module."""
    if isinstance(value, list):
        return [as_v3_file(item, package) for item in value]
    if not isinstance(value, dict):
        return value
    plain = {key: as_v3_file(inner, package) for key, inner in value.items()}
    kind = plain.get("class_name")
    if kind is None or "config" not in plain:
        return plain
    own = MODULES.get(kind)
    module = own.replace("keras", package, 1) if own else "keras.layers"
    if kind == "GlorotUniform":
        module = "keras.initializers"
    registered = kind if own else None
    built = {"build_config": {"input_shape": [None, 8, 8, 3]}} if "inbound_nodes" in plain else {}
    return {"module": module, **plain, "registered_name": registered, **built}


def write_keras(
    path: Path, model: keras.Model, config: dict[str, Any], version: str, package: str
) -> Path:
    """Write the ``.keras`` file that Keras 2, or ``tf_keras``, makes of such a network."""
    model.save_weights(path.with_suffix(".weights.h5"))
    if version.startswith("2.13"):  # it names the groups of layers otherwise
        with h5py.File(path.with_suffix(".weights.h5"), "a") as file:
            file.move(
                "layers/functional/layers", "layers/functional/_layer_checkpoint_dependencies"
            )
            file.move("layers", "_layer_checkpoint_dependencies")
    compiled = {"optimizer": "adam", "loss": "categorical_crossentropy", "metrics": None}
    description = {**as_v3_file(config, package), "compile_config": compiled}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", json.dumps(description))
        archive.write(path.with_suffix(".weights.h5"), "model.weights.h5")
    return path


def field(number: int, data: bytes) -> bytes:
    """A protocol buffer's field of variable length."""
    length, size = len(data), b""
    while length >= 128:
        size, length = size + bytes([length & 127 | 128]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + data


def write_saved_model(folder: Path, weights: list[np.ndarray], config: dict[str, Any]) -> Path:
    import tensorflow as tf

    module = tf.Module()
    part = tf.Module()
    part.kernel, part.bias = (tf.Variable(weight) for weight in weights)
    module.__setattr__("layer_with_weights-0", part)
    tf.saved_model.save(module, str(folder))
    node = field(3, b"root") + field(5, json.dumps(config).encode())
    (folder / "keras_metadata.pb").write_bytes(field(1, b"\x10\x01" + node))
    return folder


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
@pytest.mark.parametrize("version", ["2.4.3", "2.15.0"])
def test_h5_of_keras_2(version: str, tmp_path: Path) -> None:
    model = same_in_keras3()
    path = write_h5(tmp_path / "old.h5", model, keras2_config(), version)
    loaded = load_network(path).model
    assert [layer.name for layer in loaded.get_layer("base").layers[1:3]] == [
        "stage_depthwise",
        "stage_norm",
    ]
    np.testing.assert_allclose(
        loaded.predict(PICTURES, verbose=0), model.predict(PICTURES, verbose=0), atol=1e-6
    )


@pytest.mark.parametrize(
    ("version", "package"), [("2.13.1", "keras"), ("2.15.0", "keras"), ("2.21.0", "tf_keras")]
)
def test_keras_file_of_keras_2(version: str, package: str, tmp_path: Path) -> None:
    model = same_in_keras3()
    path = write_keras(tmp_path / "old.keras", model, keras2_config(), version, package)
    loaded = load_network(path).model
    assert [layer.name for layer in loaded.get_layer("base").layers[1:3]] == [
        "stage_depthwise",
        "stage_norm",
    ]
    expected = model.predict(PICTURES, verbose=0)
    assert expected.min() > 0.01  # else any network would answer nearly so
    np.testing.assert_allclose(loaded.predict(PICTURES, verbose=0), expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_h5_of_keras_3(tmp_path: Path) -> None:
    model = same_in_keras3()
    model.save(tmp_path / "new.h5")
    (tmp_path / "new.h5").rename(tmp_path / "new.model")  # the content tells, not the ending
    loaded = read_classifier(tmp_path / "new.model").model
    np.testing.assert_allclose(
        loaded.predict(PICTURES, verbose=0), model.predict(PICTURES, verbose=0), atol=1e-6
    )


def sequential() -> dict[str, Any]:
    first = {"batch_input_shape": [None, 8, 8, 3]}
    inner = [
        layer("Flatten", "flat", **first),
        layer("Dense", "answer", units=2, activation="softmax"),
    ]
    return {"class_name": "Sequential", "config": {"name": "mine", "layers": inner}}


def test_saved_model_of_keras_2(tmp_path: Path) -> None:
    kernel = np.random.default_rng(2).normal(0, 0.1, (192, 2)).astype(np.float32)
    bias = np.array([0.5, -0.5], np.float32)
    shape = {"class_name": "__tuple__", "items": [None, 8, 8, 3]}
    config = sequential()
    config["config"]["layers"][0]["config"]["batch_input_shape"] = shape
    folder = write_saved_model(tmp_path / "sm", [kernel, bias], config)
    (folder / "saved_model.pb").write_bytes(b"its graph is never read")
    logits = PICTURES.reshape(2, -1) @ kernel + bias
    powers = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(
        load_network(folder).model.predict(PICTURES, verbose=0),
        powers / powers.sum(1, keepdims=True),
        atol=1e-5,
    )
    (folder / "keras_metadata.pb").write_bytes(b"\x0a\xff\xff")
    with pytest.raises(ModelError, match=r"keras_metadata\.pb is damaged"):
        load_network(folder)
    (folder / "keras_metadata.pb").unlink()
    with pytest.raises(ModelError) as caught:
        load_network(folder)
    assert "sm: a SavedModel without keras_metadata.pb: a graph alone" in str(caught.value)
    assert "model.save('NAME.keras'), and give that file" in str(caught.value)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_h5_without_a_network(tmp_path: Path) -> None:
    same_in_keras3().save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(ModelError) as caught:
        load_network(tmp_path / "m.weights.h5")
    assert "holds weights without the network that they belong to" in str(caught.value)
    (tmp_path / "cut.h5").write_bytes((tmp_path / "m.weights.h5").read_bytes()[:900])
    with pytest.raises(ModelError, match=r"cut\.h5: not a readable HDF5 file, or truncated"):
        load_network(tmp_path / "cut.h5")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "hard_sigmoid"}, r"'answer' has Keras 2's hard_sigmoid, which computes"),
        ({"activation": "my_own"}, "my_own"),
        ({"unheard_of": 3}, r"'answer' \(Dense\) of Keras 2 has unheard_of=3"),
    ],
)
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_what_keras_3_computes_otherwise(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    config = sequential()
    config["config"]["layers"][1]["config"] |= change
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ModelError, match=message):
        load_network(write_h5(tmp_path / "m.h5", model, config, "2.9.0"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"class_name": "Net", "config": {}}, "it is a Net of Keras 2; expected a functional"),
        (None, "it is no model of Keras 2"),
        ({"class_name": "Functional", "config": {"layers": [{}]}}, "is not one that Keras 2 writ"),
        (
            functional(
                "m", [picture_input("i", (8, 8, 3)), operator("image.resize", "r", ["i", 0, 0])]
            ),
            r"layer 'r' is TensorFlow's function image\.resize with no arguments, which is not",
        ),
    ],
)
def test_other_descriptions_of_keras_2(config: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        from_keras2(config, Origin(Path("m.h5"), "2.9.0"))


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_training_mode_in_keras_2_is_refused(tmp_path: Path) -> None:
    config = functional(
        "mine",
        [
            picture_input("i", (8, 8, 3)),
            layer("Flatten", "flat", ("i", 0)),
            layer("Dropout", "monte_carlo", ("flat", 0), rate=0.5),
            layer("Dense", "answer", ("monte_carlo", 0), units=2, activation="softmax"),
        ],
    )
    config["config"]["layers"][2]["inbound_nodes"][0][0][3]["training"] = True
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ModelError, match=r"monte_carlo: called with training=True, so Keras 2 ans"):
        load_network(write_h5(tmp_path / "m.h5", model, config, "2.9.0"))
