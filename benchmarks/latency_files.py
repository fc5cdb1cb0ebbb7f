"""Files for `benchmarks/latency.py`: ours as exported, the others' by plain calls.

    python latency_files.py all|nncf FOLDER SIZE

Packages are imported where they are needed: the environment of NNCF and OpenVINO lacks some.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from quantization_peers import PEERS
from random_inputs import blobs, random_resnet50, save_pictures

PICTURES = 64
OURS = "fp32.tflite,int8.tflite,fp32.onnx,int8.onnx"
PEAK_SIDE = 2048


def main() -> None:
    what, folder, size = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if what == "nncf":
        quantize(folder, "nncf")
        return
    make_floats(folder, size)
    make_ours(folder)
    for tool in ("tf-converter", "onnxruntime-u8s8", "onnxruntime-s8s8"):
        quantize(folder, tool)
    make_peaks(folder)


def make_floats(folder: Path, size: int) -> None:
    """Write the network as Keras has it, and pictures."""
    from converters.onnx import conversion as to_onnx
    from converters.preprocessing import PREPROCESSINGS
    from converters.serving import serving_model
    from converters.tflite import conversion as to_tflite

    model = random_resnet50(size)
    model.save(folder / "model.keras")
    np.save(folder / "pictures.npy", np.stack(list(blobs(PICTURES, size))))
    save_pictures(folder / "pictures", blobs(PICTURES, size))
    serving = serving_model(model, PREPROCESSINGS["caffe"])  # nothing rewritten
    serving.save(folder / "serving.keras")
    (folder / "fp32.tflite").write_bytes(to_tflite.convert_float32(serving))
    (folder / "fp32.onnx").write_bytes(to_onnx.serialize(to_onnx.convert_float32(serving)))


def make_ours(folder: Path) -> None:
    """Write the files that a user gets."""
    command = [sys.executable, "-m", "resnet_edge", "export", folder / "model.keras"]
    command += ["--preprocessing", "caffe", "--calibration", folder / "pictures"]
    command += ["--formats", OURS, "--out", folder / "ours"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def quantize(folder: Path, tool: str) -> None:
    """Another tool's int8 file, in a folder of its own."""
    out = folder / tool
    out.mkdir(exist_ok=True)
    PEERS[tool].prepare(folder, np.load(folder / "pictures.npy"), out)()


def make_peaks(folder: Path) -> None:
    """Large matrix products, float32 and int8, for the most that this processor does."""
    import onnx
    from onnx import TensorProto, helper

    for name, operator, left, right, result in (
        ("float32", "MatMul", TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.FLOAT),
        ("int8", "MatMulInteger", TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32),
    ):
        shape = [PEAK_SIDE, PEAK_SIDE]
        weights = helper.make_tensor(
            "b", right, shape, np.zeros(shape, np.int8).ravel().tolist(), raw=False
        )
        graph = helper.make_graph(
            [helper.make_node(operator, ["a", "b"], ["c"])],
            "peak",
            [helper.make_tensor_value_info("a", left, shape)],
            [helper.make_tensor_value_info("c", result, shape)],
            [weights],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, folder / f"peak-{name}.onnx")


if __name__ == "__main__":
    main()
