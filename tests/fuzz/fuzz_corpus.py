"""Whole files of every kind that resnet-edge reads, made from one finished build."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

TOML = """\
data = "photos"
image-size = 32
epochs = 3
learning-rate = 0.5
formats = ["fp32.tflite", "int8.onnx"]
augment = true
min-seconds = 0.05
"""

LISTED = "path,label,split\ncat/1.jpg,cat,train\ncat/2.jpg,cat,test\ndog/3.jpg,dog,train\n"

PICTURES = {
    "png": ("PNG", "RGB"),
    "grey.png": ("PNG", "I;16"),
    "palette.png": ("PNG", "P"),
    "jpg": ("JPEG", "RGB"),
    "cmyk.jpg": ("JPEG", "CMYK"),
    "webp": ("WEBP", "RGBA"),
    "gif": ("GIF", "P"),
    "bmp": ("BMP", "RGB"),
    "tif": ("TIFF", "RGB"),
    "avif": ("AVIF", "RGB"),
}
"""Pillow's format and mode by the ending of the name."""


def make_corpus(folder: Path, build: Path, photos: Path, saved_model: Path | None = None) -> None:
    """Write the files.

    Args:
        folder: An empty folder.
        build: A finished build.
        photos: The pictures that it was made from.
        saved_model: A SavedModel; None leaves that kind out.
    """
    for name in ("model.keras", "reference.npz", "resnet-edge-device.pyz", "dataset.json"):
        shutil.copy(build / name, folder)
    for name in ("training.json", "calibration.json"):
        shutil.copy(build / name, folder)
    for path in (*(build / "artifacts").iterdir(), *(build / "results").iterdir()):
        if path.is_file():
            shutil.copy(path, folder)
    for path in (build / "cache").iterdir():
        if path.suffix in (".json", ".npz", ".npy"):
            shutil.copy(path, folder / path.name.partition("-")[0].split(".")[0]).rename(
                folder / f"cache-{path.name.partition('-')[0].split('.')[0]}{path.suffix}"
            )
    if saved_model is not None:
        shutil.copy(saved_model / "saved_model.pb", folder)
    (folder / "options.toml").write_text(TOML)
    (folder / "labels.txt").write_text("blue\ngreen\nred\n")
    (folder / "list.csv").write_text(LISTED)
    shutil.make_archive(str(folder / "photos"), "zip", photos)
    for ending, (kind, mode) in PICTURES.items():
        (folder / f"picture.{ending}").write_bytes(_picture(kind, mode))
    np.save(folder / "pixels.npy", np.zeros((32, 32, 3), np.uint8))
    _write_corruptions(folder)
    _write_weights(folder / "weights.h5")
    _write_checkpoint(folder / "checkpoint.zip")


def _picture(kind: str, mode: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    image = Image.fromarray(pixels)
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    elif mode != "RGB":
        image = image.convert(mode)
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def _write_checkpoint(path: Path) -> None:
    from resnet_edge.training.checkpoint import Checkpoint, TrainingProgress, save_checkpoint
    from resnet_edge.training.training_record import Epoch

    epochs = tuple(Epoch(n, "head", 0.5, 0.5, 0.5 / n, 0.5, 0.01, 1.0) for n in (1, 2))
    arrays = [np.ones((3, 4), np.float32), np.zeros(4, np.float32)]
    progress = TrainingProgress("key", "head", 1, 1, 0.5, epochs)
    save_checkpoint(path, Checkpoint(progress, arrays, arrays, arrays))


def _write_corruptions(folder: Path) -> None:
    """Answers to two pictures in the dark, and one file's comparison with them."""
    from resnet_edge.ondevice.json_records import write_record
    from resnet_edge.ondevice.measurements import GateResult, Interval, PictureAnswers, Verdict
    from resnet_edge.robustness.corruptions import Corruption
    from resnet_edge.robustness.record import CorruptedParity, CorruptedReference, CorruptionResult
    from resnet_edge.robustness.reference_answers import (
        CorruptedAnswers,
        CorruptedInfo,
        write_answers,
    )

    sha256, dark = "ab" * 32, Corruption.DARK
    info = CorruptedInfo(
        *(dark, 1, sha256, "none", "crop", ("cat", "dog"), (sha256, sha256), sha256),
        *("tensorflow 2.21.0", "CPU", "exact", "desk", {"keras": "3.15"}),
    )
    answers = CorruptedAnswers(info, np.full((2, 2), 0.5, np.float32))
    write_answers(folder / "reference-dark.npz", answers)
    parity = CorruptedParity(
        *(dark, "fp32.onnx", sha256, "onnxruntime 1", sha256, 2, 0.5, 1.0, 30.0, None),
        PictureAnswers(sha256, "80", "80", "c0"),
        GateResult(Verdict.INCONCLUSIVE, "few", Interval(-0.5, 0.5, 0.9), 300),
    )
    reference = CorruptedReference(dark, sha256, 0.5, None)
    result = CorruptionResult(sha256, (reference,), (parity,), {"int8_accuracy": 0.99})
    write_record(folder / "corruptions.json", result)


def _write_weights(path: Path) -> None:
    """Write weights as Keras 2 did."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"conv", b"dense"]
        for name, shape in (("conv", (3, 3, 3, 8)), ("dense", (8, 3))):
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
            group[f"{name}/kernel:0"] = np.ones(shape, np.float32)
            group[f"{name}/bias:0"] = np.ones(shape[-1], np.float32)
