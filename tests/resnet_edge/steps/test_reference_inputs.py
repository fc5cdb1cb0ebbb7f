"""What export was told of size, fit and labels holds for the reference: nobody says it twice."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from resnet_edge.ondevice.fit import Fit
from resnet_edge.ondevice.formats.names import parse_formats
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.options import BenchOptions, DataOptions, ModelOptions, Options
from resnet_edge.steps.export import export
from resnet_edge.steps.parity import parity
from resnet_edge.steps.reference import reference

LABELS = ("zebra", "ant")


def save_classifier(path: Path, shape: tuple[int | None, int | None, int]) -> keras.Model:
    """Save a network whose answers differ with what is cut off, and how it is resized."""
    x = keras.Input(shape)
    y = layers.Conv2D(4, 5, strides=2, activation="relu")(x)
    y = layers.Dense(2, "softmax")(layers.GlobalAveragePooling2D()(y))
    model = keras.Model(x, y, name="own")
    rng = np.random.default_rng(4)
    *weights, (first, second) = (rng.normal(0, 1, w.shape) for w in model.get_weights())
    model.set_weights([*weights, np.array([first, second + 7])])  # neither class is certain
    model.save(path)
    return model


def write_test_pictures(folder: Path) -> list[Path]:
    """Four pictures of other sizes than any network's, whose edges are unlike their middle."""
    rng = np.random.default_rng(5)
    paths = []
    for number, (width, height) in enumerate([(90, 50), (50, 90), (64, 64), (120, 40)]):
        pixels = rng.integers(0, 256, (height // 10, width // 10, 3)).astype(np.uint8)
        path = folder / LABELS[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST).save(path)
        paths.append(path)
    return paths


def decode_by_hand(path: Path, size: tuple[int, int], fit: Fit) -> np.ndarray:
    """Stretch a picture, or shrink it until it just covers the size, and keep its middle."""
    height, width = size
    with Image.open(path) as picture:
        if fit is Fit.STRETCH:
            return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
        scale = max(width / picture.width, height / picture.height)
        covering = (round(picture.width * scale), round(picture.height * scale))
        pixels = np.asarray(picture.resize(covering, Image.Resampling.BILINEAR))
        top, left = (covering[1] - height) // 2, (covering[0] - width) // 2
        return pixels[top : top + height, left : left + width]


@pytest.mark.parametrize(
    ("shape", "image_size", "fit", "size"),
    [
        ((24, 40, 3), None, Fit.CROP, (24, 40)),
        ((None, None, 3), 36, Fit.STRETCH, (36, 36)),
    ],
)
def test_the_reference_is_asked_what_the_files_were_exported_for(
    shape: tuple[int | None, int | None, int],
    image_size: int | None,
    fit: Fit,
    size: tuple[int, int],
    tmp_path: Path,
) -> None:
    model = save_classifier(tmp_path / "own.keras", shape)
    paths = write_test_pictures(tmp_path / "test")
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    told = Options(
        tmp_path / "out",
        data=DataOptions(image_size=image_size, fit=None if fit is Fit.CROP else fit),
        model=ModelOptions(preprocessing="tf", labels=tmp_path / "labels.txt"),
        formats=parse_formats("fp32.onnx"),
    )
    export(told, tmp_path / "own.keras")

    later = Options(
        told.out,
        data=DataOptions(test=tmp_path / "test"),
        formats=told.formats,
        bench=BenchOptions(LatencySpec(0.01, 3, max_warmup_s=0.0), batches=(1,)),
    )
    found = reference(later, tmp_path / "own.keras").reference
    assert (found.info.preprocessing, found.info.fit) == ("tf", fit.value)
    assert found.info.labels == LABELS

    in_order = [tmp_path / "test" / name for name in found.info.pictures]
    assert sorted(in_order) == sorted(paths)
    assert found.classes.tolist() == [LABELS.index(path.parent.name) for path in in_order]
    pictures = np.stack([decode_by_hand(path, size, fit) for path in in_order])
    expected = model.predict(pictures / np.float32(127.5) - 1, verbose=0)
    assert expected.std(axis=0).min() > 0.05
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)

    (compared,) = parity(later).result.artifacts
    assert (compared.agreement, compared.images) == (1.0, 4)
    assert compared.max_abs_logit < 1e-4
