"""A process of `benchmarks/latency.py`: one file in one runtime, an inference for every line.

    python latency_worker.py litert|compiled-model|onnxruntime|openvino FILE THREADS

Answers each line on standard input with the seconds that one inference took.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Infer = Callable[[], object]


def main() -> None:
    runtime, path, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    prepare = {
        "litert": in_litert,
        "compiled-model": in_compiled_model,
        "onnxruntime": in_onnxruntime,
        "openvino": in_openvino,
    }
    infer = prepare[runtime](path, threads)
    print("ready", flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        infer()
        print(time.perf_counter() - begun, flush=True)


def values(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return noise: the time of an inference does not depend on the picture."""
    levels = np.random.default_rng(0).integers(0, 128, shape)
    return levels.astype(dtype)


def in_litert(path: Path, threads: int) -> Infer:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    interpreter.allocate_tensors()
    (image,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    picture = values(tuple(image["shape"]), image["dtype"])

    def infer() -> object:
        interpreter.set_tensor(image["index"], picture)
        interpreter.invoke()
        return interpreter.get_tensor(answer["index"])

    return infer


def in_compiled_model(path: Path, threads: int) -> Infer:
    from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, Options

    model = CompiledModel.from_file(
        str(path), options=Options(cpu_options=CpuOptions(num_threads=threads))
    )
    ((key, names),) = model.get_signature_list().items()
    image = model.get_input_tensor_details(key)[names["inputs"][0]]
    answer = model.get_output_tensor_details(key)[names["outputs"][0]]
    (question,), (reply,) = model.create_input_buffers(0), model.create_output_buffers(0)
    picture = values(tuple(image["shape"]), np.dtype(image["dtype"]))
    size, dtype = int(np.prod(answer["shape"])), np.dtype(answer["dtype"])

    def infer() -> object:
        question.write(picture)
        model.run_by_index(0, [question], [reply])
        return reply.read(size, dtype)

    return infer


def in_onnxruntime(path: Path, threads: int) -> Infer:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = {}
    for one in session.get_inputs():
        kind = one.type.removeprefix("tensor(").removesuffix(")")
        shape = tuple(size if isinstance(size, int) else 1 for size in one.shape)
        feed[one.name] = values(shape, np.dtype("float32" if kind == "float" else kind))
    return lambda: session.run(None, feed)


def in_openvino(path: Path, threads: int) -> Infer:
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    if path.name.startswith("fp32"):  # else it computes in bfloat16 where the processor can
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    model = core.read_model(path)
    model.reshape({model.input(): [1, *list(model.input().partial_shape)[1:]]})
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    picture = values(tuple(model.input().shape), model.input().element_type.to_dtype())
    return lambda: request.infer([picture])


if __name__ == "__main__":
    main()
