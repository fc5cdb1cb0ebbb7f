"""A plan made by hand; and small builds that real browsers run."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_browser import ANSWERS

from resnet_edge.devices.browser.plan import Plan
from resnet_edge.ondevice.formats.sidecar import Artifact
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.measurements import Latency
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.reference_file import Reference, ReferenceInfo
from resnet_edge.ondevice.runtimes.base import Scaling
from resnet_edge.options import BenchOptions, BundleOptions, DataOptions, Options


@pytest.fixture
def plan(tmp_path: Path, hand_artifact: Callable[..., Artifact]) -> Plan:
    """fp32.tflite, int8_full.tflite and fp32.onnx, in this order of sizes; four pictures."""
    sizes = {"int8_full.tflite": 20, "fp32.tflite": 10, "fp32.onnx": 30}
    artifacts = tuple(hand_artifact(tmp_path, name, b"x" * size) for name, size in sizes.items())
    info = ReferenceInfo(
        model_sha256="ab" * 32,
        device="CPU",
        backend="tensorflow 2.21",
        dtype="float32",
        preprocessing="none",
        labels=("cat", "dog"),
        pictures=("a.png", "b.png", "c.png", "d.png"),
        hashes=("aa" * 32, "bb" * 32, "cc" * 32, "dd" * 32),
        latency=Latency("Keras", 1, (0.01,), 0.1, 0.1, 0, 0),
        versions={},
    )
    logs = np.log(ANSWERS.astype(np.float64))
    return Plan(
        artifacts=artifacts,
        scalings={"int8_full.tflite": Scaling(1 / 256, 0)},
        reference=Reference(
            info, ANSWERS, logs - logs.mean(axis=1, keepdims=True), np.array([0, 1, 0, 0])
        ),
        pixels=np.arange(4 * 4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 4, 3),
        model_sha256="ab" * 32,
        reference_sha256="cd" * 32,
        gates=Gates(),
        spec=LatencySpec(0.1, 8),
        threads=None,
        made_by="resnet-edge 0.1.0",
    )


ALL = "fp32.tflite,fp16.tflite,dynamic.tflite,int8.tflite,int8_full.tflite,int16x8.tflite"
USUAL = "fp32.tflite,int8.tflite,fp32.onnx,int8.onnx"
NETWORKS = {
    "plain": f"{ALL},fp32.onnx,fp16.onnx,int8.onnx",
    "mobilenet": USUAL,
    "resnet50": USUAL,
}
"""The networks of the builds for real browsers, and their formats."""


def short_mobilenet(shape: tuple[int, int, int], classes: int) -> Any:
    """Three inverted residuals of MobileNetV2: deep untrained ones do not survive 8 bits."""
    from keras import Input, Model, layers

    def normed(x: Any, layer: Any, active: bool = True) -> Any:
        x = layers.BatchNormalization()(layer(x))
        return layers.ReLU(6.0)(x) if active else x

    def inverted(x: Any, channels: int, strides: int) -> Any:
        wide = normed(x, layers.Conv2D(4 * x.shape[-1], 1, use_bias=False))
        deep = layers.DepthwiseConv2D(3, strides, padding="same", use_bias=False)
        narrow = layers.Conv2D(channels, 1, use_bias=False)
        made = normed(normed(wide, deep), narrow, active=False)
        return layers.Add()([x, made]) if made.shape == x.shape else made

    pictures = Input(shape)
    x = normed(pictures, layers.Conv2D(8, 3, 2, padding="same", use_bias=False))
    for channels, strides in ((8, 1), (16, 2), (16, 1)):
        x = inverted(x, channels, strides)
    x = layers.GlobalAveragePooling2D()(x)
    return Model(pictures, layers.Dense(classes, activation="softmax")(x), name="mobilenet")


def save_network(name: str, path: Path, labels: tuple[str, ...]) -> None:
    """A small network of this kind with random weights, for pictures of 32x32."""
    import keras

    from resnet_edge.model.model_file import ModelInfo, write_model
    from resnet_edge.model.resnet50 import resnet50

    keras.utils.set_random_seed(0)
    shape = (32, 32, 3)
    if name == "mobilenet":
        network = short_mobilenet(shape, len(labels))
    else:
        network = resnet50(shape, len(labels), width=1 / 8)
    # Statistics as after a training; with those of new layers all pictures look the same.
    norms = [each for each in network.layers if isinstance(each, keras.layers.BatchNormalization)]
    for norm in norms:
        norm.momentum = 0.0
    rng = np.random.default_rng(0)
    colours = rng.uniform(0, 1, (64, 1, 1, 3)) + rng.normal(0, 0.1, (64, *shape))
    network(colours.astype(np.float32), training=True)
    for norm in norms:
        norm.momentum = 0.99
    write_model(path, network, ModelInfo(name, labels, "unit", "crop", "random"))


@pytest.fixture(scope="session")
def browser_options(
    edge_photos: Path, edge_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Options]:
    """Options for a build of a network; it is exported, and has a reference.

    Its results are not to be asked for: calls write into the same folder.
    """
    from resnet_edge.cli import main

    @functools.cache
    def make(name: str) -> Options:
        folder = tmp_path_factory.mktemp(f"browser-{name}")
        model, out = edge_model, folder / "build"
        if name != "plain":
            model = folder / "network.keras"
            save_network(name, model, tuple(sorted(each.name for each in edge_photos.iterdir())))
        where = ["--data", str(edge_photos), "--out", str(out)]
        training = ["--epochs", "10", "--learning-rate", "0.2", "--no-augment"]
        assert main(["finetune", "--weights", str(model), *where, *training]) == 0
        assert main(["export", "--out", str(out), "--formats", NETWORKS[name]]) == 0
        assert main(["reference", "--out", str(out)]) == 0
        return Options(
            out=out,
            data=DataOptions(edge_photos),
            bundle=BundleOptions(images=9),  # the processor may have to play the GPU
            bench=BenchOptions(LatencySpec(0.05, 8, 0.5), None),
        )

    return make
