"""Other tools' int8 post-training quantization, each with the settings its own documentation gives.

A tool here is a function that imports its packages, loads its input and returns the call that is
timed. The call writes the int8 file from the float file (`tf-converter`: from the loaded Keras
model) and returns its path. This module itself needs only the standard library and NumPy: the
environment of NNCF and OpenVINO has little more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Quantize = Callable[[], Path]


@dataclass(frozen=True)
class Peer:
    """Another tool."""

    prepare: Callable[[Path, np.ndarray, Path], Quantize]
    """Called with the folder of float files, calibration pictures and a folder to write to."""
    artifact: str
    """Name of the file it writes."""
    runtime: str
    """Runtime for that file: ``litert``, ``onnxruntime`` or ``openvino``."""
    packages: tuple[str, ...]
    own_environment: bool = False
    """True if `make bench-peers` installs it, and not `make install`."""


def as_floats(pictures: np.ndarray) -> Iterator[np.ndarray]:
    """Yield one float32 batch of one picture at a time."""
    for picture in pictures:
        yield picture[np.newaxis].astype(np.float32)


def _tf_converter(floats: Path, pictures: np.ndarray, out: Path) -> Quantize:
    """TFLiteConverter, integers only: https://ai.google.dev/edge/litert/models/post_training_quantization."""
    import keras
    import tensorflow as tf

    from converters.frozen_graph import freeze

    serving = keras.models.load_model(floats / "serving.keras", compile=False)

    def quantize() -> Path:
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [freeze(serving, batch=1)], serving
        )
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([batch] for batch in as_floats(pictures))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8
        path = out / "int8.tflite"
        path.write_bytes(converter.convert())
        return path

    return quantize


def _litert_quantizer(floats: Path, pictures: np.ndarray, out: Path) -> Quantize:
    """litert-quantizer's static recipe and its own calibration, on all cores.

    It calibrates by signature, which `fp32.tflite` has none of, so it gets a plain conversion.
    """
    import keras
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter
    from litert_quantizer import recipe
    from litert_quantizer.quantizer import Quantizer

    from resnet_edge.ondevice.cores import available_cores

    serving = keras.models.load_model(floats / "serving.keras", compile=False)
    serving.export(out / "saved", format="tf_saved_model", verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(out / "saved"))
    source = str(out / "plain.tflite")
    Path(source).write_bytes(converter.convert())
    ((key, signature),) = Interpreter(source).get_signature_list().items()

    def quantize() -> Path:
        samples = [{signature["inputs"][0]: batch} for batch in as_floats(pictures)]
        quantizer = Quantizer(source, recipe.static_wi8_ai8())
        # 16 threads are its default, whatever the machine has.
        ranges = quantizer.calibrate({key: samples}, num_threads=available_cores())
        path = out / "int8.tflite"
        path.write_bytes(quantizer.quantize(ranges).quantized_model)
        return path

    return quantize


def onnxruntime_static(floats: Path, pictures: np.ndarray, out: Path, **settings: Any) -> Quantize:  # noqa: ANN401
    """``quantize_static`` of onnxruntime with its min-max calibration, QDQ, per channel."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        """Feeds one picture at a time."""

        def __init__(self) -> None:
            self._batches = as_floats(pictures)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self._batches, None)
            return None if batch is None else {"image": batch}

    types = {name: quantization.QuantType[settings.pop(name)] for name in _TYPES}

    def quantize() -> Path:
        path = out / "int8.onnx"
        quantization.quantize_static(
            floats / "fp32.onnx",
            path,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            per_channel=True,
            **types,
            **settings,
        )
        return path

    return quantize


_TYPES = ("activation_type", "weight_type")


def _onnxruntime_u8s8(floats: Path, pictures: np.ndarray, out: Path) -> Quantize:
    """Quantize as its documentation advises for x86 without VNNI: 7-bit weights."""
    types = {"activation_type": "QUInt8", "weight_type": "QInt8"}
    return onnxruntime_static(floats, pictures, out, reduce_range=True, **types)


def _onnxruntime_s8s8(floats: Path, pictures: np.ndarray, out: Path) -> Quantize:
    """Quantize as its documentation calls the first choice."""
    types = {"activation_type": "QInt8", "weight_type": "QInt8"}
    return onnxruntime_static(floats, pictures, out, reduce_range=False, **types)


def _nncf(floats: Path, pictures: np.ndarray, out: Path) -> Quantize:
    """NNCF's default post-training quantization of the ONNX file in OpenVINO."""
    os.environ["NNCF_CI"] = "1"  # it sends no usage data then
    import nncf
    import openvino

    def quantize() -> Path:
        model = openvino.Core().read_model(floats / "fp32.onnx")
        quantized = nncf.quantize(model, nncf.Dataset(list(as_floats(pictures))))
        path = out / "int8.xml"
        openvino.save_model(quantized, path)
        return path

    return quantize


PEERS = {
    "tf-converter": Peer(_tf_converter, "int8.tflite", "litert", ("tensorflow", "keras")),
    "litert-quantizer": Peer(_litert_quantizer, "int8.tflite", "litert", ("litert-quantizer",)),
    "onnxruntime-u8s8": Peer(_onnxruntime_u8s8, "int8.onnx", "onnxruntime", ("onnxruntime",)),
    "onnxruntime-s8s8": Peer(_onnxruntime_s8s8, "int8.onnx", "onnxruntime", ("onnxruntime",)),
    "nncf": Peer(_nncf, "int8.xml", "openvino", ("nncf", "openvino"), own_environment=True),
}
"""The tools by the name that ``--only`` takes, in the order of the table."""
