"""Every kind of weights that build_model takes, and what it says of those it does not."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from resnet_edge.errors import ModelError, UsageError
from resnet_edge.model import imagenet
from resnet_edge.model.layer_names import APPLICATION_NAMES, CLASSIC_NAMES
from resnet_edge.model.model_file import ModelInfo, write_model
from resnet_edge.model.resnet50 import resnet50
from resnet_edge.model.weights import build_model

SHAPE = (32, 32, 3)
WIDTH = 1 / 16
NO_TOP = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
Answers = Callable[..., np.ndarray]
Randomize = Callable[..., keras.Model]


def write_legacy(path: Path, model: keras.Model, group: str = "/", nested: str = "") -> Path:
    """Write what Keras 2 wrote: ``save_weights`` at the root, ``save`` under model_weights."""
    with h5py.File(path, "w") as file:
        root = file.require_group(group)
        root.attrs["layer_names"] = [x.name for x in model.layers] if not nested else [nested]
        if nested:
            root.create_group(nested)
        names: list[str] = []
        for layer in model.layers:
            stored = root[nested] if nested else root.create_group(layer.name)
            own = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            names += own
            stored.attrs["weight_names"] = names if nested else own
            for name, value in zip(own, layer.get_weights(), strict=True):
                stored[name] = value
    return path


def drop_names(path: Path) -> Path:
    """Make it a file of an early Keras 3, which only numbers the layers."""
    with h5py.File(path, "a") as file:
        found: list[h5py.Group] = []
        file.visititems(lambda _, item: found.append(item) if "name" in item.attrs else None)
        for item in found:
            del item.attrs["name"]
        assert found
    return path


def without_top(model: keras.Model) -> keras.Model:
    return keras.Model(model.input, model.get_layer("avg_pool").output, name=model.name)


@pytest.fixture(params=["classic", "application"])
def small(request: pytest.FixtureRequest) -> keras.Model:
    name = "small_resnet" if request.param == "classic" else "small_application"
    return request.getfixturevalue(name)


def write(kind: str, model: keras.Model, folder: Path) -> Path:
    if kind == "keras":
        model.save(folder / "m.keras")
        return folder / "m.keras"
    if kind.startswith("weights.h5"):
        path = folder / "m.weights.h5"
        model.save_weights(path)
        return drop_names(path) if kind.endswith("unnamed") else path
    group = "model_weights" if kind == "legacy-whole" else "/"
    return write_legacy(
        folder / "m.h5", model, group, "resnet50" if kind == "legacy-nested" else ""
    )


KINDS = (
    "keras",
    "weights.h5",
    "weights.h5-unnamed",
    "legacy",
    "legacy-whole",
    "legacy-nested",
)


def test_none_is_random_and_says_so() -> None:
    loaded = build_model("none", SHAPE, 3, width=WIDTH, dropout=0.5, weight_decay=1e-4)
    assert loaded.weights == "random (no pretrained weights)"
    assert (loaded.preprocessing, loaded.notes) == (None, ())
    assert loaded.model.output_shape == (None, 3)
    assert loaded.model.get_layer("head_dropout").rate == 0.5


def test_impossible_settings_are_wrong_usage() -> None:
    with pytest.raises(UsageError, match="sides of at least 32"):
        build_model("none", (8, 8, 3), 3)


@pytest.mark.parametrize("kind", KINDS)
def test_file_with_top(kind: str, small: keras.Model, tmp_path: Path, answers: Answers) -> None:
    path = write(kind, small, tmp_path)
    loaded = build_model(path, SHAPE, 5, width=WIDTH)
    assert (loaded.weights, loaded.preprocessing, loaded.notes) == (path.name, None, ())
    assert {x.name for x in loaded.model.layers if x.weights} == {*APPLICATION_NAMES, "fc5"}
    np.testing.assert_allclose(answers(loaded.model), answers(small), atol=1e-6)


@pytest.mark.parametrize("kind", ["keras", "weights.h5-unnamed", "legacy"])
def test_file_without_top(kind: str, small: keras.Model, tmp_path: Path, answers: Answers) -> None:
    backbone = without_top(small)
    path = write(kind, backbone, tmp_path)
    loaded = build_model(path, SHAPE, 7, width=WIDTH)
    assert loaded.notes == (f"{path.name} has no head; a new one of 7 classes starts at random",)
    assert loaded.model.output_shape == (None, 7)
    np.testing.assert_allclose(answers(without_top(loaded.model)), answers(backbone), atol=1e-6)


@pytest.mark.parametrize("kind", ["keras", "weights.h5", "legacy"])
def test_head_of_other_classes_is_replaced_with_a_word(
    kind: str, small: keras.Model, tmp_path: Path, answers: Answers
) -> None:
    loaded = build_model(write(kind, small, tmp_path), SHAPE, 4, width=WIDTH)
    head = small.layers[-1].name
    assert loaded.notes == (
        f"the head {head} has 5 classes; replaced by a new one of 4, which starts at random",
    )
    got = answers(without_top(loaded.model))
    np.testing.assert_allclose(got, answers(without_top(small)), atol=1e-6)


def test_width_is_the_files(small_resnet: keras.Model, tmp_path: Path) -> None:
    loaded = build_model(write("legacy", small_resnet, tmp_path), SHAPE, 5)
    assert loaded.notes == ("m.h5 is a ResNet50 of width 0.0625; built so",)
    assert loaded.model.count_params() == small_resnet.count_params()


def test_keras_file_is_built_at_the_size_asked_for(
    small_application: keras.Model, tmp_path: Path, answers: Answers
) -> None:
    loaded = build_model(write("keras", small_application, tmp_path), (64, 48, 3), 5, width=WIDTH)
    assert loaded.model.input_shape == (None, 64, 48, 3)
    assert loaded.notes == ("m.keras is of input (32, 32, 3); built with (64, 48, 3)",)
    assert np.isfinite(answers(loaded.model, (64, 48, 3))).all()


def test_keras_files_padding_wins(tmp_path: Path, randomize: Randomize, answers: Answers) -> None:
    textbook = randomize(resnet50((64, 64, 3), 3, width=WIDTH, padding="textbook"))
    loaded = build_model(write("keras", textbook, tmp_path), (64, 64, 3), 3, width=WIDTH)
    assert loaded.notes == ("m.keras has padding 'textbook'; built so",)
    got, expected = (answers(m, (64, 64, 3)) for m in (loaded.model, textbook))
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_preprocessing_is_what_the_file_says(small_resnet: keras.Model, tmp_path: Path) -> None:
    info = ModelInfo("resnet50", tuple("abcde"), "torch", "crop", "random")
    write_model(tmp_path / "m.keras", small_resnet, info)
    assert build_model(tmp_path / "m.keras", SHAPE, 5, width=WIDTH).preprocessing == "torch"


def test_look_alike_is_kept_as_it_is(
    tmp_path: Path, randomize: Randomize, answers: Answers
) -> None:
    """Same names and shapes, another epsilon: only the answers tell."""
    other = randomize(resnet50(SHAPE, 5, width=WIDTH, epsilon=0.5))
    loaded = build_model(write("keras", other, tmp_path), SHAPE, 5)
    assert loaded.notes == ("m.keras is a network of its own (resnet50); kept as it is",)
    np.testing.assert_allclose(answers(loaded.model), answers(other), atol=1e-6)


def test_weights_of_another_network_list_layers_and_shapes(tmp_path: Path) -> None:
    image = keras.Input(SHAPE)
    x = keras.layers.Conv2D(8, 3, name="conv1")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(6, name="hidden")(x)
    model = keras.Model(image, keras.layers.Dense(5, name="fc5")(x))
    with pytest.raises(ModelError) as caught:
        build_model(write("legacy", model, tmp_path), SHAPE, 5)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("m.h5: 108 layers do not fit ResNet50")
    assert lines[1] == "  conv1: (3, 3, 3, 8), (8,) in the file; expected (7, 7, 3, 8), (8,)"
    assert lines[2] == "  bn_conv1: not in the file; expected (8,), (8,), (8,), (8,)"
    assert lines[11] == "  and 98 more"
    assert lines[12].startswith("Use weights of a ResNet50, or give your whole network as a .keras")


def test_one_wrong_shape_is_one_line(small_resnet: keras.Model, tmp_path: Path) -> None:
    path = write("legacy", small_resnet, tmp_path)
    with h5py.File(path, "a") as file:
        del file["res3a_branch1/res3a_branch1/bias:0"]
        file["res3a_branch1/res3a_branch1/bias:0"] = np.zeros(31, np.float32)
    with pytest.raises(ModelError, match=r"m\.h5: 1 layer does not fit") as caught:
        build_model(path, SHAPE, 5, width=WIDTH)
    assert (
        "\n  res3a_branch1: (1, 1, 16, 32), (31,) in the file; expected (1, 1, 16, 32), (32,)\n"
        in str(caught.value)
    )


def test_head_on_other_features_is_a_mismatch(small_resnet: keras.Model, tmp_path: Path) -> None:
    path = write("legacy", small_resnet, tmp_path)
    with h5py.File(path, "a") as file:
        del file["fc5/fc5/kernel:0"]
        file["fc5/fc5/kernel:0"] = np.zeros((99, 5), np.float32)
    with pytest.raises(
        ModelError, match=r"fc5: \(99, 5\), \(5,\) in the file; expected \(128, 5\)"
    ):
        build_model(path, SHAPE, 5, width=WIDTH)


def test_grey_pictures_do_not_fit_colour_weights(small_resnet: keras.Model, tmp_path: Path) -> None:
    path = write("weights.h5", small_resnet, tmp_path)
    with pytest.raises(ModelError, match=r"conv1: \(7, 7, 3, 4\), \(4,\) in the file; expected"):
        build_model(path, (32, 32, 1), 5, width=WIDTH)


def test_missing_path(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no\.keras: no such file; expected a \.keras model"):
        build_model(tmp_path / "no.keras", SHAPE, 5)


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a folder; expected a \.keras, \.weights\.h5 or \.h5"):
        build_model(tmp_path, SHAPE, 5)


def test_unknown_suffix(tmp_path: Path) -> None:
    (tmp_path / "resnet.pth").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"unknown kind of weights \.pth; expected none, imagenet"):
        build_model(tmp_path / "resnet.pth", SHAPE, 5)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "m.keras").touch()
    with pytest.raises(ModelError, match=r"m\.keras: 0 bytes; expected a Keras model"):
        build_model(tmp_path / "m.keras", SHAPE, 5)


def test_imagenet_out_of_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    timeouts: list[float | None] = []

    def refuse(*_: object, **__: object) -> str:
        timeouts.append(socket.getdefaulttimeout())
        raise Exception("URL fetch failure: None -- timed out")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.utils, "get_file", refuse)
    before = socket.getdefaulttimeout()
    with pytest.raises(ModelError) as caught:
        build_model("imagenet", SHAPE, 5)
    message = str(caught.value)
    assert "cannot be downloaded (URL fetch failure: None -- timed out)" in message
    assert f"then put it into {tmp_path / 'models'}, or pass it: --weights {NO_TOP}" in message
    assert timeouts == [imagenet.TIMEOUT_S]
    assert socket.getdefaulttimeout() == before


def test_imagenet_with_1000_classes_takes_the_file_with_its_head(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def give(name: str, url: str, **_: object) -> str:
        asked.append(url)
        return str(tmp_path / name)

    monkeypatch.setattr(keras.utils, "get_file", give)
    assert imagenet.fetch_imagenet(1000) == tmp_path / imagenet.TOP_FILE
    assert imagenet.fetch_imagenet(999) == tmp_path / imagenet.NO_TOP_FILE
    assert asked == [imagenet.BASE_URL + name for name in (imagenet.TOP_FILE, NO_TOP)]


def test_imagenet_needs_full_width_and_colour() -> None:
    with pytest.raises(UsageError, match=r"got width 0\.5 and 3 channels; expected width 1 and"):
        build_model("imagenet", SHAPE, 5, width=0.5)


def test_imagenet_file_is_recognised_by_its_hash(
    monkeypatch: pytest.MonkeyPatch, small_application: keras.Model, tmp_path: Path
) -> None:
    path = write("legacy", without_top(small_application), tmp_path)
    monkeypatch.setattr("resnet_edge.model.weights.is_imagenet_file", lambda given: given == path)
    loaded = build_model(path, SHAPE, 5, width=WIDTH, padding="textbook")
    assert (loaded.weights, loaded.preprocessing) == ("ImageNet (keras.applications)", "caffe")
    assert loaded.notes[-1].startswith("ImageNet weights were trained with padding 'pretrained'")


def test_hash_of_another_file_is_not_imagenets(tmp_path: Path) -> None:
    (tmp_path / "w.h5").write_bytes(b"x")
    assert not imagenet.is_imagenet_file(tmp_path / "w.h5")


@pytest.mark.parametrize(
    "kind", [pytest.param("keras", marks=pytest.mark.slow), "weights.h5-unnamed"]
)
def test_keras_applications_at_full_width(
    kind: str, tmp_path: Path, randomize: Randomize, answers: Answers
) -> None:
    theirs = randomize(keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3)))
    loaded = build_model(write(kind, theirs, tmp_path), (64, 64, 3), 1000)
    assert loaded.notes == ()
    got, expected = answers(loaded.model, (64, 64, 3)), answers(theirs, (64, 64, 3))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_tiny16_gives_the_top1_of_its_readme(shared: Path) -> None:
    loaded = build_model(shared / "weights" / "tiny16.keras", (64, 64, 3), 16)
    assert {x.name for x in loaded.model.layers if x.weights} == {*CLASSIC_NAMES.values(), "fc16"}
    labels = (shared / "weights" / "labels.txt").read_text().split("\n")
    right = count = 0
    for label, name in enumerate(filter(None, labels)):
        paths = sorted((shared / "data" / "tiny16" / "val" / name).iterdir())
        rgb = np.stack([np.asarray(Image.open(path).convert("RGB"), np.float32) for path in paths])
        caffe = rgb[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32)
        answer = loaded.model.predict(caffe, verbose=0).argmax(1)
        right, count = right + int((answer == label).sum()), count + len(paths)
    assert count == 800
    assert right / count == 0.6475


def test_without_weights_each_block_begins_as_its_shortcut():
    model = build_model("none", SHAPE, 5, width=WIDTH).model
    scales = {
        layer.name: np.asarray(layer.get_weights()[0])
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    silent = {name for name, gamma in scales.items() if (gamma == 0).all()}
    assert len(silent) == 16
    assert silent == {name for name in scales if name.endswith("branch2c")}
    assert all((gamma == 1).all() for name, gamma in scales.items() if name not in silent)
