"""Small networks of the kinds that edge devices run, converted once per session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from converters.onnx import conversion as to_onnx
from converters.preprocessing import PREPROCESSINGS
from converters.quantization.tflite_network import TfliteNetwork, read_network
from converters.rewrites.all_rewrites import optimize
from converters.serving import serving_model
from converters.tflite import conversion as to_tflite

SHAPE = (16, 16, 3)
Build = Callable[[keras.KerasTensor], keras.KerasTensor]


@dataclass(frozen=True)
class Small:
    """A small network and pictures for it."""

    model: keras.Model
    serving: keras.Model
    pictures: np.ndarray
    """uint8 ``(40, height, width, 3)``, of very different contrast."""

    @cached_property
    def layers(self) -> frozenset[str]:
        return frozenset(layer.name for layer in self.serving._flatten_layers())

    @cached_property
    def float32(self) -> bytes:
        return to_tflite.convert_float32(self.serving)

    @cached_property
    def network(self) -> TfliteNetwork:
        return read_network(self.float32, self.layers)

    def operation(self, layer: str) -> int:
        """Index of the only operator of a layer."""
        (index,) = [op.index for op in self.network.operations if op.layer == layer]
        return index


def pictures_of(shape: tuple[int, ...], count: int = 40, seed: int = 5) -> np.ndarray:
    """Coarse patterns with fine noise."""
    rng = np.random.default_rng(seed)
    height, width, channels = shape
    coarse = rng.integers(0, 256, (count, -(-height // 4), -(-width // 4), channels))
    coarse = coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :height, :width]
    mixed = 0.7 * coarse + 0.3 * rng.integers(0, 256, (count, *shape))
    return (mixed * np.linspace(0.2, 1, count).reshape(-1, 1, 1, 1)).astype(np.uint8)


@pytest.fixture(scope="session")
def small(randomize: Callable[..., keras.Model]) -> Callable[..., Small]:
    """Make a network out of its layers between picture and answer."""

    def make(
        build: Build, shape: tuple[int, ...] = SHAPE, preprocessing: str = "torch", seed: int = 0
    ) -> Small:
        keras.utils.set_random_seed(0)
        x = keras.Input(shape)
        model = randomize(keras.Model(x, build(x)), seed)
        serving = serving_model(optimize(model).model, PREPROCESSINGS[preprocessing])
        return Small(model, serving, pictures_of(shape))

    return make


def head(y: keras.KerasTensor, classes: int = 4) -> keras.KerasTensor:
    """Pool, a dense layer, a softmax."""
    y = layers.GlobalAveragePooling2D(name="pool")(y)
    return layers.Dense(classes, activation="softmax", name="head")(y)


def _conv(y: keras.KerasTensor, filters: int, size: int, name: str) -> keras.KerasTensor:
    y = layers.Conv2D(filters, size, padding="same", use_bias=False, name=name)(y)
    return layers.BatchNormalization(name=f"{name}_bn")(y)


def residual_layers(x: keras.KerasTensor) -> keras.KerasTensor:
    """One stage: a projecting block and a block with an identity."""
    x = layers.ReLU(name="stem_relu")(_conv(x, 6, 3, "stem"))
    for block in ("a", "b"):
        y = layers.ReLU()(_conv(x, 4, 1, f"{block}_reduce"))
        y = _conv(y, 8, 3, f"{block}_expand")
        shortcut = _conv(x, 8, 1, "shortcut") if block == "a" else x
        x = layers.ReLU(name=f"{block}_out")(layers.Add(name=f"{block}_sum")([y, shortcut]))
    return head(x)


def mobile_layers(x: keras.KerasTensor) -> keras.KerasTensor:
    """Inverted residuals with ReLU6."""
    y = layers.ReLU(6.0)(_conv(x, 8, 3, "stem"))
    z = layers.ReLU(6.0)(_conv(y, 12, 1, "expand"))
    z = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(z)
    z = layers.ReLU(6.0)(layers.BatchNormalization(name="depthwise_bn")(z))
    return head(layers.Add()([y, _conv(z, 8, 1, "project")]))


def attention_layers(x: keras.KerasTensor) -> keras.KerasTensor:
    """Hard swish, and squeeze and excitation."""
    y = layers.Conv2D(8, 3, strides=2, padding="same", activation="hard_swish", name="stem")(x)
    z = layers.DepthwiseConv2D(3, padding="same", activation="swish", name="depthwise")(y)
    s = layers.GlobalAveragePooling2D(keepdims=True)(z)
    s = layers.Conv2D(4, 1, activation="relu", name="squeeze")(s)
    s = layers.Conv2D(8, 1, activation="sigmoid", name="excite")(s)
    z = layers.Conv2D(8, 1, name="project")(layers.Multiply()([z, s]))
    return head(layers.Add()([y, z]))


def branching_layers(x: keras.KerasTensor) -> keras.KerasTensor:
    """Three branches, concatenated."""
    y = layers.Conv2D(8, 3, padding="same", activation="relu", name="stem")(x)
    one = layers.Conv2D(4, 1, activation="relu", name="one")(y)
    two = layers.Conv2D(6, 3, padding="same", activation="relu", name="two")(y)
    three = layers.AveragePooling2D(3, 1, "same", name="average")(y)
    y = layers.MaxPooling2D(name="max")(layers.Concatenate(name="join")([one, two, three]))
    return head(layers.Conv2D(8, 3, activation="relu", name="last")(y))


def staged_layers(x: keras.KerasTensor) -> keras.KerasTensor:
    """Two stages of a ResNet v1, the second with its stride on 1x1 convolutions."""
    x = layers.ReLU(name="stem_relu")(_conv(x, 6, 3, "stem"))
    y = layers.ReLU()(_conv(x, 4, 1, "reduce"))
    y = _conv(layers.ReLU()(_conv(y, 4, 3, "wide")), 6, 1, "expand")
    x = layers.ReLU(name="out")(layers.Add(name="sum")([y, x]))
    y = layers.ReLU()(layers.Conv2D(8, 1, strides=2, name="next")(x))
    shortcut = layers.Conv2D(8, 1, strides=2, name="shortcut")(x)
    y = layers.Conv2D(8, 3, padding="same", name="last")(y)
    return head(layers.ReLU()(layers.Add()([y, shortcut])))


def unfolded_layers(x: keras.KerasTensor) -> keras.KerasTensor:
    """Batch normalizations that no convolution takes up."""
    y = layers.BatchNormalization(name="early")(x)
    y = layers.Conv2D(8, 3, activation="relu", name="first")(y)
    y = layers.BatchNormalization(name="late")(y)
    return head(layers.Conv2D(8, 3, padding="same", activation="relu", name="second")(y))


NETWORKS = {
    "residual": residual_layers,
    "mobile": mobile_layers,
    "attention": attention_layers,
    "branching": branching_layers,
    "staged": staged_layers,
    "unfolded": unfolded_layers,
}


@pytest.fixture(scope="session")
def networks(small: Callable[..., Small]) -> dict[str, Small]:
    return {name: small(build) for name, build in NETWORKS.items()}


@pytest.fixture(scope="session")
def residual(networks: dict[str, Small]) -> Small:
    return networks["residual"]


_SLOW = ("attention", "branching")
"""Those that take longest. Some tests ask for them by name, and `make test-all` runs all."""


@pytest.fixture(
    params=[pytest.param(n, marks=pytest.mark.slow) if n in _SLOW else n for n in NETWORKS]
)
def each(request: pytest.FixtureRequest, networks: dict[str, Small]) -> Small:
    """Every small network in turn."""
    return networks[request.param]


@pytest.fixture(scope="session")
def classify() -> Callable[[bytes, np.ndarray], np.ndarray]:
    """LiteRT's answers, as float."""

    def answer(data: bytes, pictures: np.ndarray) -> np.ndarray:
        interpreter = Interpreter(model_content=data, num_threads=1)
        interpreter.allocate_tensors()
        (image,), (out,) = interpreter.get_input_details(), interpreter.get_output_details()
        rows = []
        for picture in pictures:
            levels = picture.astype(np.int16) - 128 if image["dtype"] == np.int8 else picture
            interpreter.set_tensor(image["index"], levels[np.newaxis].astype(image["dtype"]))
            interpreter.invoke()
            row = interpreter.get_tensor(out["index"])[0].astype(np.float32)
            if out["dtype"] == np.int8:
                scale, zero_point = out["quantization"]
                row = (row - zero_point) * scale
            rows.append(row)
        return np.stack(rows)

    return answer


@pytest.fixture(scope="session")
def classify_onnx() -> Callable[[onnx.ModelProto, np.ndarray], np.ndarray]:
    """onnxruntime's answers."""

    def answer(model: onnx.ModelProto, pictures: np.ndarray) -> np.ndarray:
        session = onnxruntime.InferenceSession(
            to_onnx.serialize(model), providers=["CPUExecutionProvider"]
        )
        return session.run(None, {"image": pictures.astype(np.float32)})[0]

    return answer
