"""The simulation beside the runtimes, integer by integer.

    python benchmarks/bit_true.py                                    # small networks of all kinds
    python benchmarks/bit_true.py --pictures FOLDER resnet.keras:caffe mobilenet.keras:tf

Each operator is compared alone: the simulated one reads the integers that the runtime computed
(`layer_by_layer.py`). Files are `int8.tflite` and, where every operator has an integer kernel,
`int8_full.tflite`, in LiteRT with XNNPACK and without, and `int8.onnx` in onnxruntime. A row sums
up all networks. Models are Keras files with the normalization that they expect behind a colon.

Standard error names each network, with the SQNR of its simulated logits against those of
`int8.tflite`, where differences add up from layer to layer.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from layer_by_layer import (
    CAUSES,
    Difference,
    Runtime,
    by_kind,
    compare_litert,
    compare_onnx,
    whole_network_db,
)

from converters.errors import ModelConversionError
from converters.onnx import conversion as to_onnx
from converters.preprocessing import PREPROCESSINGS
from converters.quantization.calibration import calibrate
from converters.quantization.settings import Level, QuantizationSettings, Target
from converters.rewrites.all_rewrites import optimize
from converters.serving import serving_model
from converters.tflite import conversion as to_tflite

SMALL = Path(__file__).resolve().parents[1] / "tests" / "converters" / "quantization"
"""Where the small networks are."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL.keras:NORMALIZATION")
    parser.add_argument("--pictures", type=Path, help="folder of pictures for the models")
    parser.add_argument("--count", type=int, default=8, help="pictures to compare")
    parser.add_argument("--level", type=Level, default=Level.EQUALIZED, choices=list(Level))
    options = parser.parse_args()
    if options.models and options.pictures is None:
        parser.error("models need --pictures FOLDER")
    found: dict[Runtime, list[Difference]] = {runtime: [] for runtime in Runtime}
    networks = given(options.models, options.pictures) if options.models else small_networks()
    for name, model, preprocessing, pictures in networks:
        print(name, file=sys.stderr, flush=True)
        for runtime, differences in compare_model(
            model, preprocessing, pictures, options.level, options.count
        ):
            found[runtime] += differences
    for runtime, differences in found.items():
        print_table(runtime, differences)
    return 0


def small_networks() -> Iterator[tuple[str, Any, str, np.ndarray]]:
    """Yield the networks of the tests with random weights."""
    sys.path.insert(0, str(SMALL))
    from conftest import NETWORKS, SHAPE, pictures_of
    from layer_builds import BUILDS, SIDE, classifier

    for name, build in NETWORKS.items():
        keras.utils.set_random_seed(0)
        x = keras.Input(SHAPE)
        yield name, randomized(keras.Model(x, build(x))), "torch", pictures_of(SHAPE)
    for build in BUILDS:
        shape = (SIDE, SIDE, 3)
        yield build.__name__, classifier(build), "none", pictures_of(shape, 48)


def randomized(model: Any) -> Any:  # noqa: ANN401
    """Give biases and batch normalizations values that are not those of a start."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if len(weight.shape) == 1:
            values = rng.uniform(0.5, 1.5, weight.shape)
            is_scale = weight.path.endswith(("gamma", "variance"))
            weight.assign(values if is_scale else 0.3 * (values - 1))
    return model


def given(models: list[str], folder: Path) -> Iterator[tuple[str, Any, str, np.ndarray]]:
    """Yield the models of files, with pictures of their size."""
    from saturation import decode

    for text in models:
        path, _, preprocessing = text.rpartition(":")
        model = keras.saving.load_model(path, compile=False)
        yield path, model, preprocessing, decode(folder, model.input_shape[1:3], 128)


def compare_model(
    model: Any,  # noqa: ANN401
    preprocessing: str,
    pictures: np.ndarray,
    level: Level,
    count: int,
) -> Iterator[tuple[Runtime, list[Difference]]]:
    """Yield the distances of all files of a network."""
    serving = serving_model(optimize(model).model, PREPROCESSINGS[preprocessing])
    layers = {layer.name for layer in serving._flatten_layers()}
    float32 = to_tflite.convert_float32(serving)
    method = QuantizationSettings(level, grid=Target.AUTO.grid)
    calibrated = calibrate(float32, pictures, method, layers)
    decibels = whole_network_db(float32, calibrated, pictures, count)
    print(f"whole network, simulated and int8.tflite: {decibels:.1f} dB", file=sys.stderr)
    for integer_only in (False, True):
        try:
            yield from compare_litert(
                float32, calibrated, pictures, count, integer_only=integer_only
            ).items()
        except ModelConversionError as problem:
            print(f"int8_full.tflite: {problem}", file=sys.stderr)
    exact = to_onnx.convert_float32(serving)
    yield Runtime.ONNXRUNTIME, compare_onnx(exact, calibrated, pictures, count)


def print_table(runtime: Runtime, differences: list[Difference]) -> None:
    """Print a row for every kind of operator."""
    print(f"\n| {runtime} | values | equal | one step apart | more | largest | cause |")
    print("|---|---|---|---|---|---|---|")
    for row in by_kind(differences):
        cause = CAUSES.get((runtime, row.kind))
        reason = cause.reason if cause is not None else "float noise" if row.apart else ""
        equal = row.values - row.apart - row.further
        share = f"{row.apart:,} ({row.apart / row.values:.2g})" if row.apart else "0"
        print(
            f"| `{row.kind}` | {row.values:,} | {equal:,} | {share} | {row.further} | "
            f"{row.largest} | {reason if row.apart else ''} |"
        )


if __name__ == "__main__":
    sys.exit(main())
