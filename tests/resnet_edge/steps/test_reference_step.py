from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from resnet_edge.data.manifest import read_manifest
from resnet_edge.errors import DataError, InferenceError, ModelError, UsageError
from resnet_edge.full_precision.compute import answer_batches
from resnet_edge.ondevice.formats.names import parse_formats
from resnet_edge.ondevice.pictures import decode_picture
from resnet_edge.ondevice.reference_file import read_reference, write_reference
from resnet_edge.options import (
    CalibrationOptions,
    DataOptions,
    ModelOptions,
    Options,
)
from resnet_edge.steps.choose_pictures import choose_pictures
from resnet_edge.steps.reference import reference

REPOSITORY = Path(__file__).resolve().parents[3]


def test_it_is_the_models_own_answers(edge_build: Path):
    import keras

    reference = read_reference(edge_build / "reference.npz")
    test = read_manifest(edge_build / "dataset.json").split.test
    assert reference.info.pictures == tuple(p.name for p in test)
    assert reference.info.hashes == tuple(p.sha256 for p in test)
    raw = np.stack([decode_picture(p.place.path, (32, 32)) for p in test])
    pixels = raw.astype(np.float32) / 255
    model = keras.saving.load_model(edge_build / "model.keras")
    expected = keras.ops.convert_to_numpy(model(pixels))
    np.testing.assert_allclose(reference.probabilities, expected, atol=1e-6)
    logs = np.log(reference.probabilities.astype(np.float64))
    centred = logs - logs.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(reference.logits, centred, atol=1e-9)
    assert reference.classes.tolist() == [p.label for p in test]
    assert reference.info.dtype == "float32"
    assert reference.info.backend.startswith("tensorflow ")
    assert reference.info.device.startswith(("CPU: ", "GPU: "))
    assert reference.info.float32.startswith("known matrix products ")
    assert [measured.batch for measured in reference.info.throughput][:3] == [1, 8, 32]
    assert (reference.info.throughput_stopped, reference.info.adopted) == ("", False)
    assert reference.info.pixels_sha256 == hashlib.sha256(raw.tobytes()).hexdigest()
    assert len(reference.info.latency.samples_s) >= 8


@pytest.mark.parametrize("damage", ["truncated", "gone"])
def test_a_damaged_one_is_made_again(options: Options, damage):
    path = options.layout.reference
    before = np.array(read_reference(path).probabilities)  # the file is mapped
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:100])
    else:
        path.unlink()
    done = reference(options)
    assert done.rebuilt
    assert (done.reference.probabilities == before).all()
    assert not reference(options).rebuilt


def test_another_spec_preprocessing_or_backend_is_another_reference(options: Options, monkeypatch):
    from resnet_edge.steps import reference as step

    monkeypatch.setattr(step, "open_network", lambda *_: (_ for _ in ()).throw(ZeroDivisionError))
    assert not reference(options).rebuilt
    spec = replace(options.bench.spec, min_queries=10**6)
    with pytest.raises(ZeroDivisionError):
        reference(replace(options, bench=replace(options.bench, spec=spec)))
    with pytest.raises(ZeroDivisionError):
        reference(replace(options, model=ModelOptions(preprocessing="tf")))
    batches = replace(options.bench, batches=(1, 2))
    with pytest.raises(ZeroDivisionError):
        reference(replace(options, bench=batches))
    monkeypatch.setattr(step, "keras_backend", lambda: "numpy")
    with pytest.raises(ZeroDivisionError):
        reference(options)


def test_a_separate_test_set_is_that_of_the_training(options: Options, write_photos, tmp_path):
    other = write_photos(tmp_path / "other", count=1, seed=9)
    with pytest.raises(UsageError) as caught:
        reference(replace(options, data=DataOptions(test=other)))
    assert str(caught.value) == (
        f"--test: {other} has other pictures than the test split that {options.layout.model} was "
        "trained apart from; pass --test to `resnet-edge finetune`"
    )


def own(tmp_path: Path, **data: object) -> Options:
    return Options(
        out=tmp_path / "own",
        data=DataOptions(**data),  # type: ignore[arg-type]
        model=ModelOptions(preprocessing="unit"),
        formats=parse_formats("fp32.onnx"),
    )


def test_test_pictures_of_other_classes(edge_model: Path, tmp_path, write_photos):
    test = write_photos(tmp_path / "test", count=1)
    (test / "red").rename(test / "cat")
    with pytest.raises(DataError, match=r"folders cat are no classes of the mod"):
        reference(own(tmp_path, test=test), edge_model)


def test_test_pictures_that_calibrated_are_refused(
    edge_model: Path, tmp_path, write_photos, monkeypatch
):
    photos = write_photos(tmp_path / "photos", count=2)
    options = own(tmp_path, test=photos)
    labels = ("blue", "green", "red")
    choose_pictures(CalibrationOptions(photos), (), (), labels, options.layout)
    with pytest.raises(DataError, match=r"^--test: 6 calibration pictures are test pictures too, "):
        reference(options, edge_model)
    assert not options.layout.dataset.exists()


def test_without_test_pictures_there_is_only_latency(plain_model: Path, tmp_path, recorder):
    spec = replace(Options().bench.spec, min_seconds=0.01, min_queries=3, max_warmup_s=0.0)
    options = replace(own(tmp_path), bench=replace(Options().bench, spec=spec))
    done = reference(options, plain_model, recorder)
    assert recorder.warned == [
        "the model's classes have no names; they are called class 0 to class 2; pass --labels "
        "FILE, one name a line in output order",
        "no test pictures: nothing can be checked; pass --test DIR",
    ]
    assert done.reference.probabilities.shape == (0, 3)
    assert done.reference.info.latency.p50_s > 0
    assert not reference(options, plain_model, recorder).rebuilt


ALWAYS_THE_FIRST = [[0.0, 0.0, 0.0]] * 3, [1.0, 0.0, 0.0]
RED_GREEN_BLUE = (np.eye(3) * 100).tolist(), [0.0] * 3


@pytest.mark.parametrize(
    ("head", "warning"),
    [
        (
            RED_GREEN_BLUE,
            "the labels name 20 of 60 answers right; in another order it would be 60: red, green, "
            "blue; if that is the order of the model's outputs, write it to a file, one name a "
            "line, and pass it with --labels to `resnet-edge export`, then run this again",
        ),
        (
            ALWAYS_THE_FIRST,
            "20 of 60 test pictures are answered right, as by chance among 3 classes; check "
            "--preprocessing (now unit), and that the names of the classes are in the order of the "
            "model's outputs",
        ),
    ],
)
def test_answers_that_look_wrong_are_said(cli, edge_photos: Path, tmp_path, head, warning):
    import keras

    x = keras.Input((32, 32, 3))
    y = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(x, keras.layers.Dense(3, "softmax")(y))
    model.set_weights([np.array(values) for values in head])
    model.save(tmp_path / "colours.keras")
    words = ("--test", edge_photos, "--preprocessing", "unit", "--out", tmp_path / "own")
    words += ("--min-seconds", "0.01", "--min-queries", "3", "--batches", "1")
    ran = cli("reference", tmp_path / "colours.keras", *words)
    assert ran.code == 0, ran.err
    assert warning in ran.err.splitlines()
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    ran = cli("reference", tmp_path / "colours.keras", *words, "--labels", tmp_path / "labels.txt")
    assert ran.code == 0, ran.err
    assert (warning in ran.err) == (head is ALWAYS_THE_FIRST)
    assert "in another order" not in ran.err


def test_nan_in_the_answers(options: Options, monkeypatch):
    from resnet_edge.steps import reference_stage

    def nan(_: object, pixels: np.ndarray, classes: int, *__: object) -> np.ndarray:
        return np.full((len(pixels), classes), np.nan, np.float32)

    options.layout.reference.unlink()
    monkeypatch.setattr(reference_stage, "answer_batches", nan)
    with pytest.raises(ModelError, match=r"model.keras: answers NaN or infinite probabilities; "):
        reference(options)
    assert not options.layout.reference.exists()


def test_a_device_that_rounds_is_refused(options: Options, monkeypatch):
    """TF32 as a GPU has it, in Keras' own layers: 10 bits of every operand are left."""
    from resnet_edge.full_precision import inference

    exact = inference.compile_answers

    def rounding(model):
        for weight in model.weights:
            weight.assign(tf32(np.asarray(weight.numpy())))
        infer = exact(model)
        return lambda batch: infer(tf32(batch))

    options.layout.reference.unlink()
    monkeypatch.setattr(inference, "compile_answers", rounding)
    with pytest.raises(InferenceError) as caught:
        reference(options)
    assert "a matrix product is off by " in str(caught.value)
    assert "expected a reference in full float32" in str(caught.value)
    assert not options.layout.reference.exists()


def tf32(values: np.ndarray) -> np.ndarray:
    raw = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((raw + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)).view(np.float32)


def test_without_the_proof_it_is_made_again(options: Options):
    found = read_reference(options.layout.reference)
    write_reference(options.layout.reference, replace(found, info=replace(found.info, float32="")))
    assert reference(options).rebuilt


def test_fewer_pictures_at_once_where_the_memory_is_small(recorder):
    def infer(batch: np.ndarray) -> np.ndarray:
        if len(batch) > 8:
            raise MemoryError
        return batch[:, 0, 0, :2].astype(np.float32)

    pixels = np.arange(11, dtype=np.uint8).reshape(11, 1, 1, 1).repeat(3, axis=3)
    answers = answer_batches(infer, pixels, 2, recorder)
    assert answers[:, 1].tolist() == list(range(11))
    assert recorder.warned == ["memory ran out with 32 pictures at once; trying fewer"]
    with pytest.raises(MemoryError):
        answer_batches(lambda batch: infer(batch.repeat(9, axis=0)), pixels, 2, recorder)
    with pytest.raises(ZeroDivisionError):
        answer_batches(lambda batch: 1 // 0, pixels, 2, recorder)


WITHOUT_TENSORFLOW = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError("TensorFlow was imported", name=name)

sys.meta_path.insert(0, Missing())
from resnet_edge.cli import main
code = main(sys.argv[1:])
assert "tensorflow" not in sys.modules
sys.exit(code)
"""


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_other_backends_answer_without_tensorflow(build: Path, edge_build: Path, name):
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    done = subprocess.run(
        [
            *(sys.executable, "-c", WITHOUT_TENSORFLOW, "reference", "--out", str(build)),
            *("--min-seconds", "0.05", "--min-queries", "8"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "KERAS_BACKEND": name},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found, expected = (read_reference(out / "reference.npz") for out in (build, edge_build))
    assert found.info.backend.startswith(f"{name} ")
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
