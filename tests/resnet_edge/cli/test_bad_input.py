"""Everything that people pass by mistake: one message that helps, an exit code, nothing left."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_edge.ondevice.files import hash_path
from resnet_edge.ondevice.reference_file import read_reference, write_reference

TRAINING = ("--epochs", "30", "--learning-rate", "0.2", "--no-augment")


def explain(ran, code: int = 1) -> str:
    """The one message of a command that failed as it should."""
    assert ran.code == code, ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err
    assert "internal error" not in ran.err
    *_, message = ran.err.partition("error: ")
    assert message
    return str(message)


@pytest.fixture
def photos(edge_photos: Path, tmp_path: Path) -> Path:
    """A copy, to be spoilt."""
    return Path(shutil.copytree(edge_photos, tmp_path / "photos"))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims to be that large and has no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + end


def spoil(photos: Path) -> None:
    """Add a text file, an empty file, half a JPEG and a decompression bomb."""
    (photos / "red" / "notes.jpg").write_text("buy milk\n")
    (photos / "red" / "empty.png").write_bytes(b"")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = photos / "blue" / "half.jpg"
    Image.fromarray(pixels).save(whole)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (photos / "green" / "bomb.png").write_bytes(png_header(50_000, 50_000))


def test_no_such_folder(cli):
    for option in ("--data", "--test"):
        message = explain(cli("run", option, "gone", "--out", "out"), 2)
        assert message == (
            f"{option}: no such folder or zip: gone; "
            "expected one folder per class, each with pictures\n"
        )
    message = explain(cli("export", "--calibration", "gone"), 2)
    assert message == "--calibration: no such folder: gone; expected a folder of pictures\n"
    assert list(Path().iterdir()) == []


def test_one_class(cli, photos):
    for name in ("red", "green"):
        shutil.rmtree(photos / name)
    message = explain(cli("finetune", "--data", photos))
    assert message == (
        f"{photos}: 1 class (blue); expected at least two folders; "
        "add one with pictures of anything else\n"
    )


def test_an_empty_class(cli, photos):
    (photos / "violet").mkdir()
    message = explain(cli("finetune", "--data", photos))
    assert message.startswith(f"{photos}: no pictures in violet; expected some in each class; ")


def test_too_few_pictures(cli, write_photos, tmp_path):
    few = write_photos(tmp_path / "few", count=1)
    message = explain(cli("finetune", "--data", few))
    assert "too few pictures for the split in " in message
    assert "add a second of each, or remove the folder; 20 of each class begin to" in message
    assert "or pass --test DIR with a folder per class" in message


def test_pictures_that_are_none_are_listed_by_name(cli, photos):
    spoil(photos)
    message = explain(cli("finetune", "--data", photos))
    first, *listed = message.splitlines()
    assert first == f"{photos}: 4 of 64 files cannot be used:"
    assert listed[0].startswith("  blue/half.jpg: truncated JPEG (")
    assert listed[1] == (
        "  green/bomb.png: 50,000 x 50,000 pixels by its header, not decoded; "
        "expected at most 134,217,728 pixels; make it smaller"
    )
    assert (
        listed[2]
        == "  red/empty.png: 0 bytes; expected a JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP or GIF"
    )
    assert listed[3] == (
        "  red/notes.jpg: not a picture but a text file; "
        "expected a JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP or GIF"
    )
    assert listed[4] == "repair or delete them, or pass --skip-unreadable to go on without them"


def test_unreadable_pictures_are_skipped_on_request_and_the_report_lists_them(
    cli, photos, build, edge_model
):
    spoil(photos)
    words = ("--data", photos, "--weights", edge_model, "--out", build, *TRAINING)
    ran = cli("finetune", *words, "--skip-unreadable")
    assert ran.code == 0, ran.err
    assert ran.err.count("skipped ") == 4
    assert f"{build / 'model.keras'} is up to date" in ran.err  # the rest is what it was
    assert cli("report", "--out", build, "--allow-inconclusive").code == 0
    skipped = json.loads((build / "report.json").read_text())["data"]["skipped"]
    names = ["blue/half.jpg", "green/bomb.png", "red/empty.png", "red/notes.jpg"]
    assert [text.split(":")[0] for text in skipped] == names
    for name in names:
        assert name in (build / "report.md").read_text()
        assert name in (build / "report.html").read_text()


def test_a_zip_that_leaves_its_folder(cli, tmp_path, edge_photos):
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.write(edge_photos / "red" / "0.png", "red/0.png")
        target.write(edge_photos / "red" / "1.png", "../../red.png")
    message = explain(cli("finetune", "--data", archive, "--out", tmp_path / "out"))
    assert message == (
        f"{archive}: entry '../../red.png' points outside the archive; expected plain relative "
        "paths; do not trust this file, or make it again\n"
    )
    assert not list(tmp_path.rglob("*.png"))


def test_a_zip_that_is_none(cli, tmp_path):
    (tmp_path / "photos.zip").write_text("hello")
    message = explain(cli("finetune", "--data", tmp_path / "photos.zip"))
    assert "photos.zip: not a zip file, or a damaged one (File is not a zip file)" in message


def test_weights_of_another_network(cli, edge_photos, plain_model, tmp_path):
    import keras

    path = tmp_path / "other.weights.h5"
    keras.saving.load_model(plain_model).save_weights(path)
    message = explain(
        cli("finetune", "--data", edge_photos, "--weights", path, "--image-size", "32")
    )
    assert str(path.name) in message
    assert "conv1" in message
    assert "expected" in message


@pytest.fixture(scope="module")
def bad_models(tmp_path_factory: pytest.TempPathFactory, plain_model: Path) -> Path:
    """lambda.keras and nan.keras."""
    import keras
    from keras import layers

    folder = tmp_path_factory.mktemp("bad")
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Lambda(lambda x: x / 2, name="halve"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.save(folder / "lambda.keras")
    spoilt = keras.saving.load_model(plain_model)
    kernel, bias = spoilt.layers[-1].get_weights()
    kernel[0, 0] = np.nan
    spoilt.layers[-1].set_weights([kernel, bias])
    spoilt.save(folder / "nan.keras")
    return folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lambda.keras", "layer 'halve' is a Lambda layer, which carries code; expected layers of"),
        ("nan.keras", "NaN or infinity in the weights of answer; expected finite numbers; the tr"),
    ],
)
def test_models_that_are_refused(cli, bad_models, edge_photos, tmp_path, name, message):
    model = bad_models / name
    ran = cli("finetune", "--data", edge_photos, "--weights", model, "--out", tmp_path / "o")
    assert message in explain(ran)
    words = ("--preprocessing", "unit", "--formats", "fp32.onnx", "--out", tmp_path / "o")
    assert message in explain(cli("export", model, *words))
    assert message in explain(
        cli("reference", model, "--preprocessing", "unit", "--out", tmp_path / "o")
    )
    assert not (tmp_path / "o" / "model.keras").exists()
    assert not (tmp_path / "o" / "artifacts").exists()


@pytest.mark.parametrize("name", ["fp32.tflite", "fp32.onnx"])
def test_truncated_artifacts_and_sidecars_that_do_not_match(cli, build, name):
    path = build / "artifacts" / name
    path.write_bytes(path.read_bytes()[:1000])
    for step in ("parity", "bench", "report"):
        message = explain(cli(step, "--out", build))
        assert message.startswith(f"{path}: sha256 is {hash_path(path)[:16]}…, its sidecar says ")
        assert message.endswith("the file was changed or damaged after export; export it again\n")


def test_a_reference_of_another_model(cli, build):
    from dataclasses import replace

    reference = read_reference(build / "reference.npz")
    other = replace(reference.info, model_sha256="cd" * 32)
    write_reference(build / "reference.npz", replace(reference, info=other))
    expected = "reference is of model cdcdcdcdcdcdcdcd…, fp32.tflite is of "
    assert explain(cli("parity", "--out", build)).startswith(expected)
    assert explain(cli("report", "--out", build)).startswith(expected)


def test_export_of_a_plain_model(cli, plain_model, tmp_path):
    message = explain(cli("export", plain_model, "--out", tmp_path / "o"), 2)
    assert message == (
        f"{plain_model} does not say what it expects of pictures; pass --preprocessing "
        "caffe|torch|tf|unit, or none where the model normalizes pictures itself\n"
    )
    words = ("export", plain_model, "--preprocessing", "unit", "--out", tmp_path / "o")
    message = explain(cli(*words), 2)
    assert message == (
        "int8.tflite, int8_full.tflite, int8.onnx: need pictures to measure "
        "ranges on; pass --calibration DIR, or leave them out with --formats\n"
    )
    labels = tmp_path / "labels.txt"
    labels.write_text("one\ntwo\n")
    message = explain(cli(*words, "--labels", labels), 2)
    assert message == (
        f"--labels: {labels} has 2 names (2 different); the model has 3 classes; "
        "expected one name a line in output order\n"
    )
    message = explain(cli(*words, "--labels", "gone.txt"), 2)
    assert message.startswith("--labels: gone.txt cannot be read (")


def test_layers_to_keep_in_float_that_are_not_there(cli, build):
    ran = cli("export", "--out", build, "--formats", "int8.tflite", "--keep-float", "nothing*")
    message = explain(ran, code=2)  # although another process finds it out
    assert message.startswith("--keep-float: no layer fits 'nothing*'; expected globs of Keras nam")
    assert "answer" in message


def test_calibration_pictures_that_test_too(cli, build, edge_photos):
    message = explain(cli("export", "--out", build, "--calibration", edge_photos))
    assert message.startswith("--calibration: ")
    assert "calibration pictures are test pictures too, the first is " in message


def test_a_file_where_the_build_should_go(cli, edge_photos, tmp_path):
    (tmp_path / "out").write_text("mine")
    message = explain(cli("finetune", "--data", edge_photos, "--out", tmp_path / "out"))
    assert "cannot be written (" in message
    assert message.endswith("; free some space or choose another folder with --out\n")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(cli, edge_photos, tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    message = explain(cli("finetune", "--data", edge_photos, "--out", tmp_path / "out"))
    assert "cannot be written (Permission denied); free some space or choose another" in message


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".part")]


@pytest.mark.parametrize("where", ["records", "decode cache"])
def test_a_full_disk(cli, edge_photos, edge_model, tmp_path, monkeypatch, where):
    """Every file goes through one of two writers; each meets a full disk here."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if where == "records":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr("resnet_edge.data.decoded.in_batches", full)
    words = ("--data", edge_photos, "--weights", edge_model, "--out", tmp_path / "out", *TRAINING)
    message = explain(cli("finetune", *words))
    assert "cannot be written (No space left on device); free some space or choose" in message
    assert message.count("\n") == 1
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "out" / "model.keras").exists()


def run_limited(command, limit_bytes: int, *arguments: str | Path) -> tuple[int, str]:
    """Run where no file can grow larger than that, as on a disk that fills up."""
    words, environment = command
    done = subprocess.run(
        [*words, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes)),
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_no_room_for_pixels(command, edge_photos, edge_model, tmp_path):
    out = tmp_path / "out"
    words = ("--data", edge_photos, "--weights", edge_model, "--out", out, *TRAINING)
    code, said = run_limited(command, 90_000, "finetune", *words)
    assert code == 1
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith(f"error: {out}/cache/decoded-")
    assert said.endswith(
        "cannot be written (File too large); free some space or choose another folder with --out\n"
    )
    assert leftovers(out) == []


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Mount a file system of that size, which takes root."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_really_full(cli, edge_photos, edge_model, tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk, "64k"):
        words = ("--data", edge_photos, "--weights", edge_model, "--out", disk / "out")
        message = explain(cli("finetune", *words, *TRAINING))
        assert "cannot be written (No space left on device); free some space" in message
        assert leftovers(disk) == []


@pytest.mark.parametrize(
    "formats", [pytest.param("fp32.onnx", marks=pytest.mark.slow), "saved_model"]
)
def test_no_room_for_artifacts(cli, build, formats):
    artifacts = build / "artifacts"
    shutil.rmtree(artifacts)
    with small_disk(artifacts, "4k"):
        message = explain(cli("export", "--out", build, "--formats", formats))
        assert message.startswith(f"{artifacts}/")
        assert "cannot be written (" in message
        assert "No space left on device" in message
        assert message.endswith("; free some space or choose another folder with --out\n")
        assert list(artifacts.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "compress: no limit is given; expected at least one of --max-p90-ms, --max-bytes"),
        (("--max-bytes", "big"), "--max-bytes: got 'big'; expected a size"),
        (("--max-loss", "little"), "--max-loss: got 'little'; expected percentage points"),
        (("--max-loss", "0%"), "--max-loss: got 0.0; expected points above 0 %"),
        (("--max-p90-ms", "0"), "--max-p90-ms: got 0.0; expected a finite number above 0"),
        (("--max-p90-ms", "nan"), "--max-p90-ms: got nan"),
        (("--max-loss", "1%", "--budget-minutes", "0"), "--budget-minutes: got 0.0"),
        (("--max-loss", "1%", "--input-sizes", "64,big"), "--input-sizes: got '64,big'"),
        (("--max-loss", "1%", "--on-device", "gone.json"), "--on-device: no such file: gone.json"),
        (("--max-loss", "1%", "--formats", "saved_model"), "--formats: got saved_model"),
    ],
)
def test_a_budget_that_is_none(cli, tmp_path, words, message):
    ran = cli("compress", "--out", str(tmp_path / "out"), *words)
    assert explain(ran, code=2).startswith(message)
    assert not (tmp_path / "out").exists()
