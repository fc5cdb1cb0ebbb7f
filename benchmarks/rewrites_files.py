"""The files that `benchmarks/rewrites.py` compares: one ResNet50, with and without each rewrite.

    python rewrites_files.py FOLDER SIZE [REWRITE]

Also with rewrites that were tried and are not part of the product, because they lost.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from random_inputs import blobs, random_resnet50

from converters.errors import ConversionError
from converters.onnx import conversion as to_onnx
from converters.onnx.pool_padding import NAME as MERGE_POOL_PADDING
from converters.onnx.pool_padding import merge_pool_padding
from converters.preprocessing import PREPROCESSINGS
from converters.quantization.calibration import calibrate
from converters.quantization.onnx import quantize_int8
from converters.quantization.settings import Level, QuantizationSettings, Target
from converters.quantization.tflite import quantize_static
from converters.rewrites.all_rewrites import REWRITES, fold_into, optimize
from converters.rewrites.fold_preprocessing import NAME as FOLD_PREPROCESSING
from converters.rewrites.hoist_strides import NAME as HOIST_STRIDES
from converters.rewrites.join_projection_shortcuts import NAME as JOIN_SHORTCUTS
from converters.rewrites.keras_graph import Change, KerasGraph, rewrite_graphs
from converters.rewrites.merge_padding import NAME as MERGE_PADDING
from converters.serving import serving_model
from converters.tflite import conversion as to_tflite
from resnet_edge.ondevice.cores import available_cores

Shape = tuple[int, int, int, int]

PICTURES = 64
WRITTEN_OUT = "offset written out"
KEPT = (MERGE_PADDING, HOIST_STRIDES, JOIN_SHORTCUTS, FOLD_PREPROCESSING, WRITTEN_OUT)
"""Rewrites that each serving graph but one has."""
LOST = {
    "space-to-depth stem": lambda model: _replaced(model, _space_to_depth),
    "depthwise subsampling": lambda model: _replaced(model, _depthwise),
    "strided slices": lambda model: _replaced(model, _slice),
}
"""Rewrites of the finished model that were tried and lost."""


def main() -> None:
    folder = Path(sys.argv[1])
    size, only = int(sys.argv[2]), sys.argv[3:]
    model = random_resnet50(size)
    pictures = np.stack(list(blobs(PICTURES, size)))
    _write(folder / "ours", _rewritten(model), pictures)
    for name in only or (*KEPT, MERGE_POOL_PADDING, *LOST):
        if name == MERGE_POOL_PADDING:
            _write(folder / name, _rewritten(model), pictures, merge_pools=False)
        elif name in LOST:
            _write(folder / name, _rewritten(model, candidate=LOST[name]), pictures)
        else:
            _write(folder / name, _rewritten(model, without=name), pictures)


def _rewritten(
    model: keras.Model,
    without: str = "",
    candidate: Callable[[keras.Model], keras.Model] | None = None,
) -> keras.Model:
    optimized = optimize(model, tuple(pair for pair in REWRITES if pair[0] != without))
    rest = PREPROCESSINGS["caffe"]
    if without != FOLD_PREPROCESSING:
        optimized, rest = fold_into(optimized, rest)
    if without == WRITTEN_OUT:
        rest = replace(rest, picture_size=None)
    return serving_model(candidate(optimized.model) if candidate else optimized.model, rest)


def _write(
    folder: Path, serving: keras.Model, pictures: np.ndarray, *, merge_pools: bool = True
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lite, graph = to_tflite.convert_float32(serving), to_onnx.convert_float32(serving)
    if merge_pools:
        merge_pool_padding(graph)
    (folder / "fp32.tflite").write_bytes(lite)
    (folder / "fp32.onnx").write_bytes(to_onnx.serialize(graph))
    method = QuantizationSettings(Level.FAST, grid=Target.AUTO.grid)
    calibrated = calibrate(lite, pictures, method, threads=available_cores())
    data = quantize_static(lite, calibrated.network, calibrated.scheme, integer_only=False)
    (folder / "int8.tflite").write_bytes(data)
    try:
        quantized = quantize_int8(graph, calibrated, pictures, Target.AUTO).model
    except ConversionError as problem:
        print(f"{folder.name}: {problem}", file=sys.stderr)
    else:
        (folder / "int8.onnx").write_bytes(to_onnx.serialize(quantized))


class SpaceToDepth(layers.Layer):
    """Blocks of 2x2 pixels become one of four times the channels."""

    def call(self, x: tf.Tensor) -> tf.Tensor:  # noqa: D102
        return tf.nn.space_to_depth(x, 2)

    def compute_output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        batch, height, width, channels = shape
        return batch, height // 2, width // 2, 4 * channels


class Every(layers.Layer):
    """Every second row and column."""

    def call(self, x: tf.Tensor) -> tf.Tensor:  # noqa: D102
        return x[:, ::2, ::2]


def _replaced(
    model: keras.Model, stand_in: Callable[[layers.Layer], layers.Layer | None]
) -> keras.Model:
    def find(graph: KerasGraph) -> Change:
        found = {call.name: stand_in(call.layer) for call in graph.calls}
        replaced = {name: layer for name, layer in found.items() if layer is not None}
        return Change(len(replaced), replaced)

    return rewrite_graphs(model, find).model


def _is_subsampling(layer: layers.Layer) -> bool:
    return isinstance(layer, layers.MaxPooling2D) and layer.pool_size == (1, 1)


def _slice(layer: layers.Layer) -> layers.Layer | None:
    return Every(name=layer.name) if _is_subsampling(layer) else None


def _depthwise(layer: layers.Layer) -> layers.Layer | None:
    if not _is_subsampling(layer):
        return None
    return layers.DepthwiseConv2D(
        1, 2, use_bias=False, depthwise_initializer="ones", name=layer.name
    )


def _space_to_depth(layer: layers.Layer) -> layers.Layer | None:
    """7x7 of stride 2 over 3 channels is 4x4 of stride 1 over 12."""
    if layer.name != "conv1_conv":
        return None
    kernel, bias = layer.get_weights()
    wide = np.zeros((8, 8, 3, kernel.shape[-1]), np.float32)
    wide[:7, :7] = kernel
    blocks = wide.reshape(4, 2, 4, 2, 3, -1).transpose(0, 2, 1, 3, 4, 5).reshape(4, 4, 12, -1)
    inner = keras.Sequential(
        [
            keras.Input(tuple(layer.input.shape[1:])),
            SpaceToDepth(),
            layers.Conv2D(kernel.shape[-1], 4, activation=layer.activation, name="stem"),
        ],
        name=layer.name,
    )
    inner.get_layer("stem").set_weights([blocks, bias])
    return inner


if __name__ == "__main__":
    main()
