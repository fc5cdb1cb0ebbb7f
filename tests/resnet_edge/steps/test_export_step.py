from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_edge.display import Silent
from resnet_edge.errors import ArtifactError, DataError, ModelError, OutputError, UsageError
from resnet_edge.exporting.failures import Failure, read_failures
from resnet_edge.exporting.inputs import describe_inputs
from resnet_edge.exporting.job import ExportInputs, ExportJob, ExportPlan
from resnet_edge.exporting.stale import is_current, stale_jobs
from resnet_edge.exporting.worker import run_plan
from resnet_edge.inspection.model_description import describe_model
from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.formats.kinds import ARTIFACT_NAMES, Format, artifact_kind
from resnet_edge.ondevice.formats.names import parse_formats
from resnet_edge.ondevice.formats.sidecar import load_artifact, write_sidecar
from resnet_edge.ondevice.workers.calling import told_error
from resnet_edge.ondevice.workers.events import EventKind, WorkerEvent
from resnet_edge.ondevice.workers.serving import Reporter
from resnet_edge.options import CalibrationOptions, ModelOptions, Options
from resnet_edge.steps.choose_pictures import find_calibration
from resnet_edge.steps.export import export


def with_formats(options: Options, formats: str) -> Options:
    return replace(options, formats=parse_formats(formats))


def test_the_same_inputs_give_the_same_bytes(options: Options, edge_build: Path):
    shutil.rmtree(options.layout.artifacts)
    done = export(options)
    assert done.rebuilt == options.formats
    for name in options.formats:
        again = hash_path(options.layout.artifacts / name)
        assert again == hash_path(edge_build / "artifacts" / name), name


def test_a_sidecar_says_where_its_artifact_is_from(edge_build: Path):
    int8 = load_artifact(edge_build / "artifacts" / "int8.tflite").sidecar
    assert int8.model_sha256 == hash_path(edge_build / "model.keras")
    assert (int8.labels, int8.preprocessing) == (("blue", "green", "red"), "unit")
    assert (int8.input_shape, int8.input_dtype) == ((1, 32, 32, 3), "uint8")
    assert int8.calibration is not None
    assert int8.calibration.sha256 == hash_path(edge_build / "calibration.json")
    assert int8.calibration.source == "training split"
    assert set(int8.tools) == {
        *("resnet-edge", "tensorflow", "keras", "litert-quantizer", "ai-edge-litert")
    }
    fp32 = load_artifact(edge_build / "artifacts" / "fp32.onnx").sidecar
    assert fp32.calibration is None
    assert fp32.input_shape == (None, 32, 32, 3)
    assert fp32.rewrites


@pytest.mark.parametrize("name", ["fp32.tflite", "fp32.onnx"])
def test_truncated_artifacts_are_made_again(options: Options, edge_build: Path, name, recorder):
    path = options.layout.artifacts / name
    path.write_bytes(path.read_bytes()[:-100])
    one = with_formats(options, name)
    assert export(one, None, recorder).rebuilt == (name,)
    assert hash_path(path) == hash_path(edge_build / "artifacts" / name)
    assert export(one, None, recorder).rebuilt == ()
    assert recorder.said[-1] == "all 1 artifacts are up to date"


def test_what_is_made_is_returned_only_where_a_part_will_do(options: Options, monkeypatch):
    """``run`` and the command go on with what was made; a caller of the API gets the error."""
    lost = {"int8.tflite": ModelError("layer 'stem': no such operator")}
    monkeypatch.setattr("resnet_edge.steps.export.convert", lambda *_: lost)
    (options.layout.artifacts / "int8.tflite").unlink()
    reason = (
        "layer 'stem': no such operator; run `resnet-edge export` with --quantization fast, keep "
        "layers in float with --keep-float, or leave it out with --formats"
    )
    done = export(options, partial=True)
    assert not done
    assert [artifact.name for artifact in done.artifacts] == ["fp32.tflite", "fp32.onnx"]
    assert (done.rebuilt, dict(done.lost)) == ((), lost)
    failed = (Failure("int8.tflite", reason),)
    assert read_failures(options.layout.failures, hash_path(options.layout.model)) == failed

    options.layout.failures.unlink()
    with pytest.raises(ModelError) as caught:
        export(options)
    assert str(caught.value) == f"int8.tflite: {reason}"
    assert read_failures(options.layout.failures, hash_path(options.layout.model)) == failed
    with pytest.raises(ModelError, match=r"^int8.tflite: layer 'stem': no such operator; run"):
        export(with_formats(options, "int8.tflite"), partial=True)  # nothing was made
    assert export(with_formats(options, "fp32.onnx"), partial=True)
    assert read_failures(options.layout.failures, hash_path(options.layout.model)) == failed


def described(options: Options, model: Path | None = None) -> ExportInputs:
    """The inputs of an export without integer artifacts."""
    source = model or options.layout.model
    info = describe_model(
        source, options.data.fit, options.model.preprocessing, options.model.labels
    )
    return describe_inputs(options, source, info, None)


def test_what_a_killed_export_left_goes_although_all_is_made(options: Options):
    staging = options.layout.artifacts / ".made.part"
    staging.mkdir()
    (staging / "int8.tflite.picture.npy").write_bytes(b"left")
    assert export(options).rebuilt == ()
    assert not staging.exists()


def test_damaged_sidecars_do_not_count(options: Options):
    inputs = described(options)
    assert is_current(inputs, "fp32.onnx")
    sidecar = options.layout.artifacts / "fp32.onnx.json"
    text = sidecar.read_text()
    for damaged in (text[:100], text.replace('"float32"', '"float99"'), "{}"):
        sidecar.write_text(damaged)
        assert not is_current(inputs, "fp32.onnx")
    sidecar.unlink()
    assert not is_current(inputs, "fp32.onnx")


@pytest.mark.parametrize(
    "change",
    [
        {"model_sha256": "0" * 64},
        {"model_name": "other"},
        {"labels": ("a", "b", "c")},
        {"preprocessing": "tf"},
        {"fit": "pad"},
        {"rewrites": False},
    ],
)
def test_an_artifact_of_anything_else_is_stale(options: Options, change):
    assert not is_current(replace(described(options), **change), "fp32.onnx")


@pytest.mark.parametrize("change", [{"tools": {"tensorflow": "1"}}, {"options": {"new": "1"}}])
def test_an_artifact_of_other_tools_or_options_is_stale(options: Options, change):
    artifact = load_artifact(options.layout.artifacts / "fp32.onnx")
    write_sidecar(artifact.path, replace(artifact.sidecar, **change))
    assert not is_current(described(options), "fp32.onnx")


def test_jobs_for_what_is_stale(options: Options):
    every = replace(options, formats=ARTIFACT_NAMES)
    source = options.layout.model
    info = describe_model(
        source, options.data.fit, options.model.preprocessing, options.model.labels
    )
    inputs = describe_inputs(every, source, info, find_calibration(options, info.labels, Silent()))
    assert stale_jobs(options.formats, inputs) == ()
    (options.layout.artifacts / "fp32.tflite").unlink()

    def jobs(*names: str) -> list[tuple[Format, tuple[str, ...], bool]]:
        return [(job.format, job.names, job.quantizes) for job in stale_jobs(names, inputs)]

    tflite, onnx = Format.TFLITE, Format.ONNX
    assert jobs("fp32.tflite", "fp32.onnx") == [(tflite, ("fp32.tflite",), False)]
    assert jobs("int8_full.tflite") == [(tflite, ("int8_full.tflite",), True)]
    assert jobs("int8.onnx") == [(onnx, ("int8.onnx",), False)]  # the quantization is there
    inputs.for_integers.quantized.unlink()
    assert jobs("int8.onnx") == [(tflite, (), True), (onnx, ("int8.onnx",), False)]
    assert jobs("fp32.tflite", "int8.onnx") == [
        (tflite, ("fp32.tflite",), True),
        (onnx, ("int8.onnx",), False),
    ]


def plain_options(out: Path, formats: str, **model: object) -> Options:
    return Options(out=out, model=ModelOptions(**model), formats=parse_formats(formats))  # type: ignore[arg-type]


def test_a_users_own_model(plain_model: Path, tmp_path, write_photos, recorder):
    labels = tmp_path / "labels.txt"
    labels.write_text("eins\nzwei\ndrei\n")
    calibration = CalibrationOptions(write_photos(tmp_path / "some", count=12))
    options = plain_options(tmp_path, "int8.tflite", preprocessing="tf", labels=labels)
    done = export(replace(options, calibration=calibration), plain_model, recorder)
    (artifact,) = done.artifacts
    assert artifact.sidecar.labels == ("eins", "zwei", "drei")
    assert artifact.sidecar.preprocessing == "tf"
    assert artifact.sidecar.model_name == "plain"
    assert artifact.sidecar.calibration is not None
    assert artifact.sidecar.calibration.source == "folder some"
    assert artifact.sidecar.calibration.pictures == 36
    assert artifact.sidecar.calibration.method == "equalized"
    assert "dB, mean of 9 held-out pictures" in artifact.sidecar.findings["simulated SQNR"]


@pytest.fixture
def staged_model(tmp_path: Path) -> Path:
    """A user's network whose second stage begins with a stride on a 1x1 convolution."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    x = keras.Input((32, 32, 3))
    y = layers.Conv2D(8, 3, padding="same", use_bias=False, name="wide")(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.Conv2D(8, 1, strides=2, activation="relu", name="next")(y)
    y = layers.GlobalAveragePooling2D()(y)
    path = tmp_path / "staged.keras"
    keras.Model(x, layers.Dense(3, activation="softmax")(y), name="staged").save(path)
    return path


@pytest.mark.slow
def test_with_rewrites_and_without(staged_model: Path, tmp_path, write_photos):
    options = plain_options(tmp_path, "fp32.tflite,int8.onnx", preprocessing="unit")
    calibration = CalibrationOptions(write_photos(tmp_path / "some", count=12))
    options = replace(options, calibration=calibration)
    before, less = 1024 * 27 * 8 + 256 * 64 + 24, 256 * 27 * 8 + 256 * 64 + 24
    expected = {
        True: (("fold_batch_norm", "hoist_strides", "fold_preprocessing"), less, {}),
        False: (("fold_batch_norm",), before, {"rewrites": "no"}),
    }
    for wanted, (rewrites, multiply_adds, told) in expected.items():
        done = export(replace(options, rewrites=wanted), staged_model)
        assert done.rebuilt == ("fp32.tflite", "int8.onnx")  # also what another setting made
        for artifact in done.artifacts:
            sidecar = artifact.sidecar
            assert sidecar.rewrites == rewrites
            assert (sidecar.multiply_adds, sidecar.multiply_adds_before) == (multiply_adds, before)
            assert sidecar.options.items() >= told.items()
    assert len(list(options.layout.cache.glob("quantization-*.npz"))) == 2


def test_without_preprocessing_it_asks(plain_model: Path, tmp_path):
    with pytest.raises(UsageError) as caught:
        export(plain_options(tmp_path, "fp32.onnx"), plain_model)
    assert str(caught.value) == (
        f"{plain_model} does not say what it expects of pictures; pass --preprocessing "
        "caffe|torch|tf|unit, or none where the model normalizes pictures itself"
    )


def test_without_calibration_it_asks(plain_model: Path, tmp_path):
    options = plain_options(tmp_path, "fp32.onnx,int8.onnx,int8.tflite", preprocessing="unit")
    with pytest.raises(UsageError) as caught:
        export(options, plain_model)
    assert str(caught.value) == (
        "int8.tflite, int8.onnx: need pictures to measure ranges on; pass --calibration DIR, or "
        "leave them out with --formats"
    )
    assert not (tmp_path / "artifacts").exists()


def test_calibration_of_a_folder_must_be_given_again(options: Options, write_photos, tmp_path):
    given = CalibrationOptions(write_photos(tmp_path / "some", count=2, seed=7))
    labels = ("blue", "green", "red")
    find_calibration(replace(options, calibration=given), labels, Silent())
    with pytest.raises(UsageError, match=r"pictures are those of a folder some, which is not giv"):
        find_calibration(options, labels, Silent())


def test_calibration_is_chosen_again_where_other_is_asked_for(options: Options):
    labels = ("blue", "green", "red")
    recorded = find_calibration(options, labels, Silent())
    assert (recorded.requested, recorded.seed) == (200, 0)

    def find(count: int | None, seed: int | None) -> tuple[int, int, int]:
        wanted = CalibrationOptions(None, count, seed)
        found = find_calibration(replace(options, calibration=wanted), labels, Silent())
        return len(found.pictures), found.requested, found.seed

    assert find(5, None) == (5, 5, 0)
    assert find(None, None) == (5, 5, 0)  # it is what the file says now
    assert find(None, 3) == (5, 5, 3)
    assert find(200, 0) == (len(recorded.pictures), 200, 0)


def test_a_damaged_calibration_picture_keeps_its_class(plain_model: Path, tmp_path, write_photos):
    photos = write_photos(tmp_path / "some", count=12)
    damaged = next(path for path in sorted(photos.rglob("*")) if path.is_file())
    damaged.write_bytes(damaged.read_bytes()[:40])
    options = plain_options(tmp_path, "int8.tflite", preprocessing="unit")
    with pytest.raises(DataError, match=damaged.name):
        export(replace(options, calibration=CalibrationOptions(photos)), plain_model)


def test_no_model(tmp_path):
    with pytest.raises(UsageError, match=r"model.keras: no such model; make it with `resnet-edge "):
        export(Options(out=tmp_path))


def test_what_is_no_model(tmp_path):
    (tmp_path / "x.keras").write_text("hello")
    with pytest.raises(ModelError, match=r"x.keras: not a .keras file \(File is not a zip file\);"):
        export(Options(out=tmp_path), tmp_path / "x.keras")


def silent() -> Reporter:
    return Reporter(lambda event: None, lambda: "")


def worker_plan(out: Path, model: Path, name: str) -> ExportPlan:
    inputs = described(plain_options(out, name, preprocessing="unit"), model)
    return ExportPlan((ExportJob(inputs, artifact_kind(name).format, (name,), {}),))


def test_a_full_disk_leaves_no_half_saved_model(plain_model: Path, tmp_path, monkeypatch):
    import tensorflow as tf

    def full(module: object, folder: str, **_: object) -> None:
        Path(folder).mkdir(parents=True)
        (Path(folder) / "saved_model.pb").write_bytes(b"half")
        raise tf.errors.ResourceExhaustedError(None, None, "x; No space left on device\nmore")

    monkeypatch.setattr(tf.saved_model, "save", full)
    plan = worker_plan(tmp_path, plain_model, "saved_model")
    with pytest.raises(OutputError, match=r"saved_model: cannot be written \(.*No space left on d"):
        run_plan(plan, silent())
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_without_pictures_a_calibrated_artifact_is_refused(plain_model: Path, tmp_path):
    plan = worker_plan(tmp_path, plain_model, "int8.onnx")
    told: list[WorkerEvent] = []
    run_plan(plan, Reporter(told.append, lambda: ""))
    assert [event.kind for event in told] == [EventKind.BEGUN, EventKind.BEGUN, EventKind.LOST]
    with pytest.raises(ArtifactError, match=r"^calibration: no pictures; pass --calibration DIR$"):
        raise told_error(told[-1])


def test_another_size_than_the_trained_models_is_refused(options: Options):
    asked = replace(options, data=replace(options.data, image_size=96))
    with pytest.raises(UsageError) as caught:
        export(asked)
    assert str(caught.value) == (
        f"{options.layout.model}: takes pictures of 32x32 pixels (height x width); got "
        "--image-size 96; leave the option out"
    )
