"""A process of `benchmarks/quantization.py`: it makes the inputs, or measures one tool once.

It reads its job from a JSON file and writes its result to another. At import it needs only the
standard library and NumPy: the environment of NNCF and OpenVINO has little more.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from quantization_inputs import make_inputs
from quantization_peers import PEERS, as_floats

RUNTIME_PACKAGES = {
    "litert": "ai-edge-litert",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
}


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    try:
        result = make_inputs(job) if job["tool"] is None else measure(job)
    except ModuleNotFoundError as problem:
        peer = PEERS.get(job["tool"])
        target = "bench-peers" if peer is not None and peer.own_environment else "install"
        result = {"error": f"{problem.name} is not installed; run `make {target}`"}
    except Exception as problem:  # whatever a tool raises becomes a row of the table
        first_line = str(problem).strip().partition("\n")[0]
        result = {"error": f"{type(problem).__name__}: {first_line}"}
    Path(sys.argv[2]).write_text(json.dumps(result))


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Quantize once and take the time. Then answer all test pictures with the result."""
    out, floats = Path(job["out"]), Path(job["floats"])
    pictures = np.load(job["calibration"])
    if job["tool"] in PEERS:
        quantize = prepare_peer(job["tool"], floats, pictures, out)
    else:
        quantize = prepare_ours(job["tool"], floats, pictures, out, job["seed"])
    loaded_bytes = memory_bytes("VmRSS")
    started = time.perf_counter()
    files = quantize()
    quantize_s = time.perf_counter() - started
    # Before anything is answered: the runtime's memory is not the quantizer's.
    peak_bytes = memory_bytes("VmHWM")
    test = np.load(floats / "test.npy")
    artifacts = [
        run_artifact(file.path, file.runtime, test) | {"quantize_s": file.quantize_s or quantize_s}
        for file in files
    ]
    peer = PEERS.get(job["tool"])
    packages = peer.packages if peer else ()
    return {
        "peak_bytes": peak_bytes,
        "loaded_bytes": loaded_bytes,
        "artifacts": artifacts,
        "versions": {name: metadata.version(name) for name in packages},
    }


@dataclass(frozen=True)
class File:
    """A file that a tool made."""

    path: Path
    runtime: str
    quantize_s: float | None = None
    """Seconds that this file took, if a tool makes several."""


Files = list[File]


def prepare_peer(tool: str, floats: Path, pictures: np.ndarray, out: Path) -> Callable[[], Files]:
    peer = PEERS[tool]
    quantize = peer.prepare(floats, pictures, out)
    return lambda: [File(quantize(), peer.runtime)]


def prepare_ours(
    level: str, floats: Path, pictures: np.ndarray, out: Path, seed: int
) -> Callable[[], Files]:
    from quantization_ours import quantize_ours

    def quantize() -> Files:
        files = []
        for name, made in quantize_ours(level, floats, pictures, seed).items():
            (out / name).write_bytes(made.data)
            runtime = "onnxruntime" if name.endswith(".onnx") else "litert"
            files.append(File(out / name, runtime, made.quantize_s))
        return files

    return quantize


def memory_bytes(field: str) -> int:
    """Return a field of Linux' ``/proc/self/status``; on other systems always the peak.

    On Linux the peak of ``getrusage`` is wrong: a new process inherits that of its parent.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def run_artifact(path: Path, runtime: str, test: np.ndarray) -> dict[str, Any]:
    answer = {"litert": in_litert, "onnxruntime": in_onnxruntime, "openvino": in_openvino}[runtime]
    answers = answer(path, test)
    saved = path.with_name(f"{path.name}.npy")
    np.save(saved, answers.astype(np.float32))
    weights = path.with_suffix(".bin")  # OpenVINO's second file
    size = path.stat().st_size + (weights.stat().st_size if weights.exists() else 0)
    version = metadata.version(RUNTIME_PACKAGES[runtime])
    return {
        "artifact": path.name,
        "runtime": f"{runtime} {version}",
        "bytes": size,
        "answers": str(saved),
    }


def in_litert(path: Path, test: np.ndarray) -> np.ndarray:
    """Answer in LiteRT, with the file's own scales where input and output are integers."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (image,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for batch in as_floats(test):
        if image["dtype"] != np.float32:
            scale, zero_point = image["quantization"]
            limits = np.iinfo(image["dtype"])
            batch = np.clip(np.round(batch / scale) + zero_point, limits.min, limits.max)
        interpreter.set_tensor(image["index"], batch.astype(image["dtype"]))
        interpreter.invoke()
        row = interpreter.get_tensor(answer["index"])[0].astype(np.float32)
        if answer["dtype"] != np.float32:
            scale, zero_point = answer["quantization"]
            row = (row - zero_point) * np.float32(scale)
        rows.append(row)
    return np.stack(rows)


def in_onnxruntime(path: Path, test: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": batch})[0] for batch in as_floats(test)])


def in_openvino(path: Path, test: np.ndarray) -> np.ndarray:
    import openvino

    model = openvino.Core().compile_model(path, "CPU")
    return np.concatenate([model(batch)[0].copy() for batch in as_floats(test)])


if __name__ == "__main__":
    main()
