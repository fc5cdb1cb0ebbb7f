"""Tiny artifacts with sidecars written by hand."""

from __future__ import annotations

import json
import os
import subprocess

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest
from hand_made import hand_sidecar

from converters.onnx import conversion as to_onnx
from converters.preprocessing import PREPROCESSINGS
from converters.quantization import tflite as quantize
from converters.quantization.calibration import calibrate
from converters.quantization.settings import QuantizationSettings
from converters.rewrites.fold_batch_norm import fold_batch_norm
from converters.saved_model import export_saved_model
from converters.serving import serving_model
from converters.tflite import conversion as to_tflite
from converters.tflite import flatbuffer
from resnet_edge.ondevice.files import hash_path, size_path
from resnet_edge.ondevice.formats.kinds import artifact_kind
from resnet_edge.ondevice.formats.sidecar import Artifact, load_artifact, write_sidecar

LABELS = ("a", "b", "c", "d")
SIZE = (20, 24)
TFLITE_NAMES = (
    *("fp32.tflite", "fp16.tflite", "dynamic.tflite"),
    *("int8.tflite", "int8_full.tflite", "int16x8.tflite"),
)
Seal = Callable[..., Artifact]


def _seal(
    path: Path,
    *,
    size: tuple[int, int] = SIZE,
    labels: tuple[str, ...] = LABELS,
    input_dtype: str | None = None,
) -> Artifact:
    """Write the sidecar of a file that is named like an artifact."""
    sidecar = hand_sidecar(
        path.name,
        labels,
        input_dtype=input_dtype or artifact_kind(path.name).input_dtype,
        input_shape=(1, *size, 3),
        bytes=size_path(path),
        sha256=hash_path(path),
        model_name="tiny",
    )
    write_sidecar(path, sidecar)
    return load_artifact(path)


@pytest.fixture(name="seal", scope="session")
def _seal_fixture() -> Seal:
    return _seal


@dataclass(frozen=True)
class Exported:
    """Artifacts of one serving model, and what it answers."""

    folder: Path
    pictures: np.ndarray
    """uint8 (n, height, width, 3)."""
    expected: np.ndarray

    def artifact(self, name: str) -> Artifact:
        return load_artifact(self.folder / name)


def _export(
    model: keras.Model, folder: Path, names: tuple[str, ...], labels: tuple[str, ...]
) -> Exported:
    serving = serving_model(fold_batch_norm(model).model, PREPROCESSINGS["caffe"])
    size = serving.inputs[0].shape[1:3]
    pictures = np.random.default_rng(3).integers(0, 256, (8, *size, 3), dtype=np.uint8)
    pictures = (pictures * np.linspace(0.3, 1, 8).reshape(-1, 1, 1, 1)).astype(np.uint8)
    float32 = to_tflite.convert_float32(serving)
    calibrated = calibrate(float32, pictures, QuantizationSettings(few_pictures=True))
    for name in names:
        path = folder / name
        match name:
            case "saved_model":
                export_saved_model(serving, path, labels)
            case "fp32.onnx":
                path.write_bytes(to_onnx.serialize(to_onnx.convert_float32(serving)))
            case "fp32.tflite":
                path.write_bytes(_finish(float32))
            case "fp16.tflite":
                path.write_bytes(_finish(quantize.quantize_float16(float32)))
            case "dynamic.tflite":
                path.write_bytes(_finish(quantize.quantize_dynamic(float32)))
            case _:
                full, wide = name == "int8_full.tflite", name == "int16x8.tflite"
                data = quantize.quantize_static(
                    float32,
                    calibrated.network,
                    calibrated.scheme,
                    integer_only=full,
                    activation_bits=16 if wide else 8,
                )
                path.write_bytes(_finish(data, uint8_in=not wide, uint8_out=full))
        _seal(path, size=size, labels=labels)
    answers = serving(pictures.astype(np.float32), training=False)
    return Exported(folder, pictures, np.asarray(keras.ops.convert_to_numpy(answers)))


def _finish(data: bytes, *, uint8_in: bool = False, uint8_out: bool = False) -> bytes:
    tree = flatbuffer.read_flatbuffer(data)
    if uint8_in:
        flatbuffer.use_uint8_input(tree)
    if uint8_out:
        flatbuffer.use_uint8_output(tree)
    flatbuffer.name_endpoints(tree)
    return flatbuffer.write_flatbuffer(tree)


def _answers_elsewhere(
    python: Path, artifact: Path, pictures: np.ndarray, scratch: Path
) -> tuple[str, np.ndarray]:
    """The runtime's title and what it answers in a new process of another interpreter."""
    np.save(scratch / "pictures.npy", pictures)
    job = {
        "artifact": str(artifact),
        "pictures": str(scratch / "pictures.npy"),
        "answers": str(scratch / "answers.npy"),
        "threads": 1,
    }
    process = subprocess.run(
        [str(python), "-m", "resnet_edge.ondevice.parity.answer_worker"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[4])},
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    event = json.loads(process.stdout.splitlines()[-1])
    return json.loads(event["text"])["runtime"], np.load(scratch / "answers.npy")


@pytest.fixture(name="answers_elsewhere", scope="session")
def _answers_elsewhere_fixture() -> Callable[..., tuple[str, np.ndarray]]:
    return _answers_elsewhere


@pytest.fixture(name="export", scope="session")
def _export_fixture() -> Callable[..., Exported]:
    return _export


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A small network in every runtime. Not to be changed."""
    keras.utils.set_random_seed(0)
    x = keras.Input((*SIZE, 3))
    y = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    y = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3)(y))
    model = keras.Model(x, keras.layers.Dense(len(LABELS))(keras.layers.Rescaling(0.1)(y)))
    names = ("saved_model", *TFLITE_NAMES, "fp32.onnx")
    return _export(model, tmp_path_factory.mktemp("artifacts"), names, LABELS)
