"""One `resnet-edge export` of all artifacts against a plain call for each of them.

    python benchmarks/pipeline.py --repetitions 3

A ResNet50 of 1000 classes at 224x224 with random weights, 100 calibration pictures. The plain
calls are those of the tools' own documentation, in one process one after the other: `model.export`,
a `TFLiteConverter` each for float32, float16, dynamic, int8 and integers only, tf2onnx for float32,
onnxruntime's float16 and `quantize_static`. They make nine files. Our export makes those and
`int16x8.tflite`, calibrates, measures the noise of every layer, and writes hashes and labels. Both
take turns. The output has both, and the ratios of time and of peak memory (process tree, sampled).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from process_cost import Cost, measure
from quantization_peers import PEERS, as_floats
from random_inputs import blobs, random_resnet50, save_pictures

SIZE, PICTURES = 224, 100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument(
        "--plain", type=Path, metavar="FOLDER", help="one process of the other side"
    )
    options = parser.parse_args()
    if options.plain:
        convert_plainly(options.plain)
        return 0
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_inputs(folder)
        ours, plain = [], []
        for number in range(options.repetitions):
            command = [sys.executable, "-m", "resnet_edge", "export", str(folder / "model.keras")]
            command += ["--preprocessing", "caffe", "--calibration", str(folder / "pictures")]
            command += [
                "--calibration-count",
                str(PICTURES),
                "--out",
                str(folder / f"ours{number}"),
            ]
            ours.append(finished(measure(command), "ours"))
            command = [sys.executable, __file__, "--plain", str(folder)]
            plain.append(finished(measure(command), "plain"))
    print("| | ours | plain | ratio (smallest–largest) |\n|---|---|---|---|")
    print(row("time", " s", [c.wall_s for c in ours], [c.wall_s for c in plain]))
    memory = [[c.peak_bytes / 2**30 for c in costs] for costs in (ours, plain)]
    print(row("peak memory", " GiB", *memory))
    return 0


def finished(cost: Cost, side: str) -> Cost:
    if cost.status:
        sys.exit(f"{side} ended with status {cost.status}")
    return cost


def row(title: str, unit: str, ours: list[float], plain: list[float]) -> str:
    ratios = [one / other for one, other in zip(ours, plain, strict=True)]
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
    medians = [f"{statistics.median(values):.1f}{unit}" for values in (ours, plain)]
    return f"| {' | '.join([title, *medians, spread])} |"


def make_inputs(folder: Path) -> None:
    random_resnet50(SIZE).save(folder / "model.keras")
    save_pictures(folder / "pictures", blobs(PICTURES, SIZE))


def convert_plainly(folder: Path) -> None:
    import keras
    import tensorflow as tf

    out = folder / "plain"
    out.mkdir(exist_ok=True)
    model = keras.models.load_model(folder / "model.keras", compile=False)
    model.export(out / "saved_model", verbose=False)
    pictures = np.stack(list(blobs(PICTURES, SIZE)))
    converters = tf.lite.TFLiteConverter
    for name in ("fp32", "fp16", "dynamic", "int8", "int8_full"):
        converter = converters.from_keras_model(model)
        if name != "fp32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if name == "fp16":
            converter.target_spec.supported_types = [tf.float16]
        if name.startswith("int8"):
            converter.representative_dataset = lambda: ([batch] for batch in as_floats(pictures))
        if name == "int8_full":
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.uint8
        (out / f"{name}.tflite").write_bytes(converter.convert())
    convert_onnx_plainly(model, pictures, out)


def convert_onnx_plainly(model: object, pictures: np.ndarray, out: Path) -> None:
    import onnx
    import tensorflow as tf
    import tf2onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    signature = [tf.TensorSpec((None, SIZE, SIZE, 3), tf.float32, "image")]
    function = tf.function(lambda image: model(image), input_signature=signature)
    float32, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=17)
    onnx.save(float32, out / "fp32.onnx")
    onnx.save(convert_float_to_float16(float32, keep_io_types=True), out / "fp16.onnx")
    PEERS["onnxruntime-u8s8"].prepare(out, pictures, out)()


if __name__ == "__main__":
    sys.exit(main())
