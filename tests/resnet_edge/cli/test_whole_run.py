"""Photos to proven files in one command: a small network into every default format, a ResNet50
into every format.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import resnet_edge as edge
from resnet_edge.ondevice.formats.kinds import (
    ARTIFACT_KINDS,
    ARTIFACT_NAMES,
    DEFAULT_NAMES,
    Precision,
)

LATENCY = ("--min-seconds", "0.05", "--min-queries", "8")


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import keras

    from resnet_edge import resnet50

    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("models") / "resnet.keras"
    resnet50(input_shape=(32, 32, 3), classes=3, width=0.125).save(path)
    return path


TRAINING = ("--epochs", "30", "--learning-rate", "0.2", "--no-augment")


def test_every_default_format(cli, edge_photos: Path, edge_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("run", "--data", edge_photos, "--weights", edge_model, "--out", out, "--threads", "1")
    words += (*TRAINING, *LATENCY, "--allow-inconclusive")
    ran = cli(*words, "--json")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    rows = {row["name"]: row for row in report["artifacts"]}
    assert list(rows) == list(DEFAULT_NAMES)
    assert "int16x8.tflite" not in rows
    floats = [kind.name for kind in ARTIFACT_KINDS if kind.precision is Precision.FLOAT32]
    assert {rows[name]["verdict"]["accuracy"] for name in floats} == {"pass"}
    assert {row["verdict"]["accuracy"] for row in rows.values()} <= {"pass", "inconclusive"}
    assert all(row["latency"]["samples"] >= 8 for row in rows.values())
    for name in ("report.html", "report.md", "resnet-edge-device.pyz"):
        assert (out / name).stat().st_size > 0
    assert_answers_are_kerass(out, edge_photos)

    again = cli(*words)
    assert again.code == 0
    assert "nothing has changed: nothing was rebuilt" in again.err


def assert_answers_are_kerass(out: Path, photos: Path) -> None:
    """Ask Keras and every file the same pictures, without the product's own comparison."""
    import keras

    paths = sorted(photos.rglob("*.png"))
    pictures = np.stack([edge.decode_picture(path, (32, 32), edge.Fit.CROP) for path in paths])
    model = keras.saving.load_model(out / "model.keras", compile=False)
    expected = model.predict(pictures.astype(np.float32) / 255, verbose=0)  # "unit", by hand
    for artifact in edge.load_artifacts(out / "artifacts"):
        if artifact.name == "saved_model":  # TensorFlow runs already, with threads of its own
            answers = ask_saved_model(artifact.path, pictures)
        else:
            answers = edge.open_runtime(artifact, 1).infer(pictures)
        same = float(np.mean(answers.argmax(1) == expected.argmax(1)))
        off = float(np.abs(answers - expected).max())
        precision = artifact.sidecar.precision
        if precision is Precision.FLOAT32:
            assert (same, off < 1e-4) == (1.0, True), artifact.name
        elif precision is Precision.FLOAT16:
            assert (same, off < 1e-2) == (1.0, True), artifact.name
        else:
            assert same >= 0.95, artifact.name
            assert off < 0.15, artifact.name


def ask_saved_model(folder: Path, pictures: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]
    (answers,) = serve(**{name: tf.constant(pictures.astype(np.float32))}).values()
    return np.asarray(answers)


@pytest.mark.slow
def test_every_format(cli, edge_photos, resnet, tmp_path):
    out = tmp_path / "out"
    words = ("--data", edge_photos, "--weights", resnet, "--out", out, "--preprocessing", "caffe")
    words += ("--formats", "all")
    ran = cli("run", *words, *LATENCY, "--epochs", "5", "--json")
    report = json.loads(ran.out)
    # Random features may not tell the colours apart on every processor; the code says it then.
    assert ran.code == (0 if report["verdict"] == "pass" else 1), ran.err
    artifacts = report["artifacts"]
    assert [a["name"] for a in artifacts] == list(ARTIFACT_NAMES)
    assert {a["agreement"] for a in artifacts if a["precision"] == "float32"} == {1.0}
    assert {a["latency"]["samples"] >= 8 for a in artifacts} == {True}
    assert report["model"]["rewrites"]
    # A folder, a hand-made one, is held against the same hash as a file is.
    again = cli("run", *words, *LATENCY, "--epochs", "5")
    assert again.code == ran.code
    assert "nothing has changed: nothing was rebuilt" in again.err
    (out / "artifacts" / "saved_model" / "more").write_text("x")
    assert "sha256 is" in cli("parity", "--out", out).err
    assert "saved_model written" in cli("export", "--out", out, "--formats", "saved_model").err
