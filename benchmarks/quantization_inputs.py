"""Inputs of `benchmarks/quantization.py`: float files, pictures, labels and the float answers.

A network is the one that is given, or it with a new head for other photos, trained by the product,
or a small one of `trained_networks.py`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SPLITS = ("train", "validation", "test")
LAST = "reference.npy"
"""The file that is made after all others: the float model's answers."""


@dataclass(frozen=True)
class Network:
    """A classifier with the pictures of its classes."""

    model: Any
    preprocessing: str
    splits: Mapping[str, Sequence[Any]]
    """Pictures of the product's data sets by the names of ``SPLITS``."""


def make_inputs(job: dict[str, Any]) -> dict[str, Any]:
    """Make what all tools share: an exact float network, decoded pictures, and its answers.

    Peers get files with batch normalizations folded; ours, in ``ours``, with all of the product's
    rewrites. The functions are equal.
    """
    from converters.preprocessing import PREPROCESSINGS
    from converters.rewrites.all_rewrites import optimize
    from converters.rewrites.fold_batch_norm import fold_batch_norm
    from converters.serving import serving_model

    out = Path(job["out"])
    network = _with_new_head(job, out) if job["photos"] else _of_folders(job, out)
    preprocessing = PREPROCESSINGS[network.preprocessing]
    serving = serving_model(fold_batch_norm(network.model).model, preprocessing)
    _decode(network, serving.input_shape[1:3], out)
    test = np.load(out / "test.npy").astype(np.float32)
    answers = network.model.predict(preprocessing.apply(test), verbose=0)
    serving.save(out / "serving.keras")
    network.model.save(out / "model.keras")
    (out / "preprocessing.txt").write_text(network.preprocessing)
    _write_floats(serving, out)
    (out / "ours").mkdir(exist_ok=True)
    _write_floats(serving_model(optimize(network.model).model, preprocessing), out / "ours")
    np.save(out / LAST, np.asarray(answers, np.float32))
    return {}


def has_inputs(folder: Path) -> bool:
    """True if all inputs were made there."""
    return (folder / LAST).exists()


def _write_floats(serving: Any, out: Path) -> None:  # noqa: ANN401
    from converters.onnx import conversion as to_onnx
    from converters.tflite import conversion as to_tflite

    (out / "fp32.tflite").write_bytes(to_tflite.convert_float32(serving))
    (out / "fp32.onnx").write_bytes(to_onnx.serialize(to_onnx.convert_float32(serving)))


def _decode(network: Network, size: tuple[int, int], out: Path) -> None:
    for name, pictures in network.splits.items():
        pixels, labels = _pixels_and_labels(pictures, size, out)
        np.save(out / f"{name}.npy", pixels)
        np.save(out / f"{name}-labels.npy", labels)


def _of_folders(job: dict[str, Any], out: Path) -> Network:
    """Take training and test pictures from two folders; a seventh of the former validates."""
    import keras

    from resnet_edge.data.calibration import CalibrationSet
    from resnet_edge.data.dataset import load_dataset
    from resnet_edge.data.lessons import lessons_of

    known = tuple(job["labels"]) or None
    folders = [load_dataset(Path(job[name]), out, labels=known) for name in ("train", "test")]
    train, test = (sorted(each.pictures, key=lambda picture: picture.name) for each in folders)
    everything = CalibrationSet(tuple(train), folders[0].labels, len(train), 0, "training pictures")
    lessons = lessons_of(everything, augment=True)
    splits = dict(zip(SPLITS, (lessons.train, lessons.validation, test), strict=True))
    if not job["recipe"]:
        model = keras.models.load_model(job["model"], compile=False)
        return Network(model, job["preprocessing"], splits)
    return _trained(job["recipe"], splits, out)


def _trained(name: str, splits: Mapping[str, Sequence[Any]], out: Path) -> Network:
    """Train a small network on the training pictures."""
    from trained_networks import RECIPES, train

    recipe = RECIPES[name]
    pictures, labels = _pixels_and_labels(splits["train"], (64, 64), out)
    return Network(train(recipe, pictures, labels), recipe.preprocessing, splits)


def _with_new_head(job: dict[str, Any], out: Path) -> Network:
    """Give the network a new head for other photos, as a user would."""
    import keras

    from resnet_edge.data.manifest import read_manifest

    build = out / "build"
    command = [sys.executable, "-m", "resnet_edge", "finetune", "--out", str(build)]
    command += ["--data", job["photos"], "--weights", job["model"]]
    command += ["--preprocessing", job["preprocessing"]]
    subprocess.run(command, check=True)
    split = read_manifest(build / "dataset.json").split
    splits = dict(zip(SPLITS, (split.train, split.validation, split.test), strict=True))
    model = keras.models.load_model(build / "model.keras", compile=False)
    return Network(model, job["preprocessing"], splits)


def decode(
    folder: Path, size: tuple[int, int], labels: tuple[str, ...] | None, cache: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Return all pictures of a folder in the order of their names, and their labels."""
    from resnet_edge.data.dataset import load_dataset

    dataset = load_dataset(folder, cache, labels=labels)
    pictures = sorted(dataset.pictures, key=lambda picture: picture.name)
    return _pixels_and_labels(pictures, size, cache)


def _pixels_and_labels(
    pictures: Sequence[Any], size: tuple[int, int], cache: Path
) -> tuple[np.ndarray, np.ndarray]:
    from resnet_edge.data.decoded import decode_pictures
    from resnet_edge.ondevice.fit import Fit

    labels = np.array([picture.label for picture in pictures], np.int64)
    return np.asarray(decode_pictures(tuple(pictures), size, Fit.CROP, cache)), labels
