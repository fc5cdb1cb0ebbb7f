"""A new head by resnet-edge against Keras' ``fit`` on the same frozen model.

Both sides start from ``tiny16.keras`` with the same new head, train on the same decoded pictures
and answer the same test split. Keras' side is what its transfer-learning guide does: freeze,
compile with Adam at 1e-3, ``fit`` for 10 epochs; it is spared decoding, preprocessing and
validation. Our side starts with an empty cache, so computing the features counts. oneDNN is on for
both.

    python benchmarks/head.py --shared ../shared --repetitions 3
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.training.onednn import switch_on_onednn

switch_on_onednn()

import keras  # noqa: E402 - after oneDNN is switched on
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from converters.preprocessing import PREPROCESSINGS  # noqa: E402
from resnet_edge.data.dataset import load_dataset  # noqa: E402
from resnet_edge.data.decoded import decode_pictures  # noqa: E402
from resnet_edge.data.pictures import Picture  # noqa: E402
from resnet_edge.data.shares import SplitShares  # noqa: E402
from resnet_edge.data.split import split_dataset  # noqa: E402
from resnet_edge.model.head import replace_head  # noqa: E402
from resnet_edge.ondevice.fit import Fit  # noqa: E402
from resnet_edge.training.labelled_pictures import LabelledPictures  # noqa: E402
from resnet_edge.training.train import train_classifier  # noqa: E402
from resnet_edge.training.training_settings import TrainingSettings  # noqa: E402

DATASETS = ("sign_digits", "flowers")
SIZE = (64, 64)
KERAS_EPOCHS = 10
KERAS_BATCH = 64
CAFFE = PREPROCESSINGS["caffe"]


@dataclass(frozen=True)
class Run:
    """One training's time and its accuracy on the test split."""

    seconds: float
    accuracy: float


@dataclass(frozen=True)
class Splits:
    """One data set, decoded."""

    classes: int
    train: LabelledPictures
    validation: LabelledPictures
    test: LabelledPictures


def load_splits(folder: Path, cache: Path) -> Splits:
    dataset = load_dataset(folder, cache)
    split = split_dataset(dataset, SplitShares())

    def decode(name: str, pictures: tuple[Picture, ...]) -> LabelledPictures:
        pixels = decode_pictures(pictures, SIZE, Fit.CROP, cache)
        labels = np.array([picture.label for picture in pictures], np.int64)
        return LabelledPictures(pixels, labels, f"{folder.name}/{name}")

    return Splits(
        len(dataset.labels),
        decode("train", split.train),
        decode("validation", split.validation),
        decode("test", split.test),
    )


def new_model(weights: Path, classes: int, seed: int) -> keras.Model:
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    return replace_head(keras.models.load_model(weights, compile=False), classes)


def normalized(split: LabelledPictures) -> NDArray[np.float32]:
    pictures: NDArray[np.float32] = CAFFE.apply(split.pictures.astype(np.float32))
    return pictures


def accuracy(model: keras.Model, test: LabelledPictures) -> float:
    answers = model.predict(normalized(test), batch_size=KERAS_BATCH, verbose=0)
    return float((answers.argmax(axis=1) == test.labels).mean())


def run_keras(weights: Path, splits: Splits, seed: int) -> Run:
    model = new_model(weights, splits.classes, seed)
    pictures = normalized(splits.train)
    started = time.perf_counter()
    for layer in model.layers[:-1]:
        layer.trainable = False
    model.compile(
        keras.optimizers.Adam(1e-3),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    model.fit(pictures, splits.train.labels, batch_size=KERAS_BATCH, epochs=KERAS_EPOCHS, verbose=0)
    return Run(time.perf_counter() - started, accuracy(model, splits.test))


def run_ours(weights: Path, splits: Splits, seed: int) -> Run:
    model = new_model(weights, splits.classes, seed)
    with tempfile.TemporaryDirectory() as work:
        started = time.perf_counter()
        settings = TrainingSettings(seed=seed)
        result = train_classifier(
            model,
            splits.train,
            splits.validation,
            CAFFE,
            settings,
            scratch=False,
            work=Path(work),
        )
        seconds = time.perf_counter() - started
    return Run(seconds, accuracy(result.model, splits.test))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="weights and data")
    parser.add_argument("--repetitions", type=int, default=3, help="seeds, Keras and ours in turn")
    options = parser.parse_args()
    weights = options.shared / "weights" / "tiny16.keras"
    with tempfile.TemporaryDirectory() as cache:
        for name in DATASETS:
            splits = load_splits(options.shared / "data" / name, Path(cache))
            print(
                f"{name}: {splits.classes} classes, {len(splits.train)} train, "
                f"{len(splits.validation)} validation, {len(splits.test)} test"
            )
            ratios, gains = [], []
            for seed in range(options.repetitions):
                theirs = run_keras(weights, splits, seed)
                ours = run_ours(weights, splits, seed)
                ratios.append(ours.seconds / theirs.seconds)
                gains.append(ours.accuracy - theirs.accuracy)
                print(
                    f"  seed {seed}: Keras {theirs.seconds:6.1f} s {theirs.accuracy:.2%}, "
                    f"resnet-edge {ours.seconds:6.1f} s {ours.accuracy:.2%}, "
                    f"time ratio {ratios[-1]:.3f}, accuracy {gains[-1]:+.2%}",
                    flush=True,
                )
            print(
                f"  median time ratio {statistics.median(ratios):.3f} "
                f"({min(ratios):.3f} to {max(ratios):.3f}), accuracy "
                f"{statistics.median(gains):+.2%} ({min(gains):+.2%} to {max(gains):+.2%})"
            )


if __name__ == "__main__":
    main()
