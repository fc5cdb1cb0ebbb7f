from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
from hand_made import hand_sidecar

from resnet_edge.errors import ArtifactError
from resnet_edge.ondevice.files import hash_path, size_path
from resnet_edge.ondevice.formats.kinds import (
    ARTIFACT_KINDS,
    ARTIFACT_NAMES,
    DEFAULT_NAMES,
    artifact_kind,
)
from resnet_edge.ondevice.formats.sidecar import (
    Artifact,
    load_artifact,
    load_artifacts,
    sidecar_path,
    write_sidecar,
)


def make(folder: Path, name: str, data: bytes = b"model") -> Artifact:
    """A file that is no model, with a sidecar that fits it."""
    path = folder / name
    folder.mkdir(exist_ok=True)
    path.write_bytes(data)
    sidecar = hand_sidecar(
        name,
        input_shape=(1, 24, 32, 3),
        bytes=len(data),
        sha256=hash_path(path),
        model_name="m",
        multiply_adds=2,
        multiply_adds_before=2,
    )
    write_sidecar(path, sidecar)
    return Artifact(path, sidecar)


def test_names_are_the_contract():
    expected = (
        *("saved_model", "fp32.tflite", "fp16.tflite", "dynamic.tflite", "int8.tflite"),
        *("int8_full.tflite", "int16x8.tflite", "fp32.onnx", "fp16.onnx", "int8.onnx"),
    )
    assert expected == ARTIFACT_NAMES
    assert set(ARTIFACT_NAMES) - set(DEFAULT_NAMES) == {"int16x8.tflite"}
    calibrated = {kind.name for kind in ARTIFACT_KINDS if kind.calibrated}
    assert calibrated == {"int8.tflite", "int8_full.tflite", "int16x8.tflite", "int8.onnx"}


def test_input_and_output_types():
    types = {kind.name: (kind.input_dtype, kind.output_dtype) for kind in ARTIFACT_KINDS}
    assert types["int8.tflite"] == types["int8.onnx"] == ("uint8", "float32")
    assert types.pop("int8_full.tflite") == ("uint8", "uint8")
    assert {types[name] for name in types if not name.startswith("int8")} == {
        ("float32", "float32")
    }


def test_unknown_artifact():
    with pytest.raises(ArtifactError, match=r"^fp8: no such artifact; expected one of saved_model"):
        artifact_kind("fp8")


def test_hash_and_size_of_a_folder(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b" / "c").write_bytes(b"23")
    expected = hashlib.sha256(
        b"a\0" + hashlib.sha256(b"1").digest() + b"b/c\0" + hashlib.sha256(b"23").digest()
    )
    assert hash_path(tmp_path) == expected.hexdigest()
    assert size_path(tmp_path) == 3
    (tmp_path / "b" / "c").rename(tmp_path / "b" / "d")
    assert hash_path(tmp_path) != expected.hexdigest()


def test_an_artifact_comes_back(tmp_path):
    made = make(tmp_path, "int8.tflite")
    assert load_artifact(made.path) == made
    assert made.sidecar.image_size == (24, 32)
    assert made.name == "int8.tflite"


def test_all_of_a_folder_in_the_order_of_the_tables(tmp_path):
    for name in ("int8.onnx", "fp32.tflite", "fp16.tflite"):
        make(tmp_path, name)
    (tmp_path / "fp32.onnx").write_bytes(b"without a sidecar: not finished")
    names = [artifact.name for artifact in load_artifacts(tmp_path)]
    assert names == ["fp32.tflite", "fp16.tflite", "int8.onnx"]
    assert [a.name for a in load_artifacts(tmp_path, ("int8.onnx",))] == ["int8.onnx"]
    with pytest.raises(ArtifactError, match=r"fp32.onnx.json: no such file; run the step"):
        load_artifacts(tmp_path, ("fp32.onnx",))


def test_nothing_there(tmp_path):
    with pytest.raises(ArtifactError, match=r"no artifacts here; make them with `resnet-edge exp"):
        load_artifacts(tmp_path / "artifacts")
    with pytest.raises(ArtifactError, match=r"fp32.onnx: no such artifact; make it with `resnet"):
        load_artifact(tmp_path / "fp32.onnx")


@pytest.mark.parametrize("data", [b"mode", b"modem", b""])
def test_bytes_that_the_sidecar_does_not_know(tmp_path, data):
    made = make(tmp_path, "fp32.onnx")
    made.path.write_bytes(data)
    with pytest.raises(ArtifactError) as caught:
        load_artifact(made.path)
    assert str(caught.value) == (
        f"{made.path}: sha256 is {hashlib.sha256(data).hexdigest()[:16]}…, its sidecar says "
        f"{made.sidecar.sha256[:16]}…; the file was changed or damaged after export; "
        "export it again"
    )
    assert load_artifact(made.path, verify=False).sidecar == made.sidecar


def test_damaged_sidecar(tmp_path):
    made = make(tmp_path, "fp32.onnx")
    text = sidecar_path(made.path).read_text()
    sidecar_path(made.path).write_text(text[:50])
    with pytest.raises(ArtifactError, match=r"fp32.onnx.json: not JSON"):
        load_artifact(made.path)
    changed = {**json.loads(text), "precision": "float12"}
    sidecar_path(made.path).write_text(json.dumps(changed))
    with pytest.raises(ArtifactError, match=r"precision: got 'float12'; expected one of float32"):
        load_artifact(made.path)


def test_a_free_picture_size_is_refused(tmp_path):
    sidecar = make(tmp_path, "fp32.onnx").sidecar
    free = dataclasses.replace(sidecar, input_shape=(None, None, None, 3))
    with pytest.raises(ArtifactError, match=r"^fp32.onnx: input size is free; expected a fixed"):
        _ = free.image_size
