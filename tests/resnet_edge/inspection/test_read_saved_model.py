from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from resnet_edge.errors import ArtifactError
from resnet_edge.inspection.contents import Count, Endpoint, WeightGroup
from resnet_edge.inspection.saved_model import read_saved_model


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, labels: tuple[str, ...]) -> Path:
    """A dense layer and a softmax, 4 values in and 3 out, labels as an asset."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("saved_model")
    names = folder / "labels.txt"
    names.write_text("\n".join(labels) + "\n", encoding="utf-8")
    module = tf.Module()
    module.kernel = tf.Variable(tf.ones((4, 3)))
    module.labels = tf.saved_model.Asset(str(names))

    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": tf.nn.softmax(tf.linalg.matmul(image, module.kernel))}

    signature = [tf.TensorSpec((None, 4), tf.float32, "image")]
    signatures = {"serving_default": tf.function(serve, input_signature=signature)}
    tf.saved_model.save(module, str(folder / "model"), signatures=signatures)
    return folder / "model"


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "model"))


def test_the_signature_is_read(folder: Path, labels: tuple[str, ...]) -> None:
    contents = read_saved_model(folder)
    assert contents.inputs == (Endpoint("image", "float32", (None, 4)),)
    assert contents.outputs == (Endpoint("probabilities", "float32", (None, 3)),)
    assert contents.operators == (Count("MatMul", 1), Count("Softmax", 1))
    assert contents.weights == (WeightGroup("float32", "not quantized", 1, 12),)
    assert contents.quantization == "none"
    assert contents.labels == labels
    assert contents.metadata["signatures"] == "serving_default"
    assert contents.notes == ()


def test_without_labels(folder: Path) -> None:
    path = folder / "assets" / "labels.txt"
    path.unlink()
    with pytest.raises(ArtifactError) as problem:
        read_saved_model(folder)
    assert str(problem.value) == (
        f"{path}: no such file, but saved_model.pb refers to it; "
        "export or copy the whole folder again"
    )


def test_without_variables(folder: Path) -> None:
    shutil.rmtree(folder / "variables")
    with pytest.raises(ArtifactError, match=r"variables.index: no such file, but saved_model.pb"):
        read_saved_model(folder)


def test_labels_that_are_not_utf8(folder: Path) -> None:
    (folder / "assets" / "labels.txt").write_bytes(b"cat\n\xff")
    with pytest.raises(
        ArtifactError, match=r"labels.txt: not UTF-8 \(invalid start byte at byte 4\)"
    ):
        read_saved_model(folder)


@pytest.mark.parametrize("content", [b"hello, I am no model", b"\x08\x01"])
def test_garbage(folder: Path, content: bytes) -> None:
    (folder / "saved_model.pb").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"saved_model.pb: truncated or damaged SavedModel"):
        read_saved_model(folder)


def test_truncated(folder: Path) -> None:
    path = folder / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ArtifactError, match=r"saved_model.pb: truncated or damaged SavedModel"):
        read_saved_model(folder)


def test_empty(folder: Path) -> None:
    (folder / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"saved_model.pb: 0 bytes; expected a graph"):
        read_saved_model(folder)


def test_without_tensorflow_labels_are_still_read(
    folder: Path, labels: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow.core.framework", None)
    contents = read_saved_model(folder)
    assert contents.labels == labels
    assert contents.operators == ()
    assert contents.notes == (
        "inputs, outputs and operators need TensorFlow; run `pip install tensorflow`",
    )
