"""TFLite files: LiteRT, or tflite-runtime, or the interpreter inside TensorFlow, in this order."""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any

import numpy as np

from resnet_edge.artifacts import Artifact
from resnet_edge.errors import InferenceError, RuntimeMissingError
from resnet_edge.runtimes.base import Runtime, Scaling

CANDIDATES = (
    ("LiteRT", "ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite-runtime", "tflite_runtime.interpreter", "tflite-runtime"),
    ("TensorFlow Lite", "tensorflow.lite.python.interpreter", "tensorflow"),
)
"""Name, module and package of every runtime for TFLite files, the preferred one first."""


class TFLiteRuntime(Runtime):
    """A TFLite interpreter with its default CPU delegate (XNNPACK)."""

    def __init__(self, artifact: Artifact, threads: int) -> None:
        super().__init__(artifact)
        self.name, module, self.version = _find_interpreter()
        try:
            self._interpreter = module.Interpreter(
                model_path=str(artifact.path), num_threads=threads
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as problem:
            raise InferenceError(
                f"{artifact.path}: {self.title} refuses the file: {problem}; it is damaged or "
                "needs a "
                "newer runtime; export it again or update the runtime"
            ) from problem
        image = self._interpreter.get_input_details()[0]
        answer = self._interpreter.get_output_details()[0]
        if image["dtype"] != self._input_dtype:
            raise InferenceError(
                f"{artifact.path}: takes {np.dtype(image['dtype'])}, its sidecar says "
                f"{self._input_dtype}; export it again"
            )
        self._image, self._answer = image["index"], answer["index"]
        if not np.issubdtype(answer["dtype"], np.floating):
            scale, zero_point = answer["quantization"]
            self._scaling = Scaling(float(scale), int(zero_point))

    def _run(self, batch: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._image, batch)
        self._interpreter.invoke()
        answer: np.ndarray = self._interpreter.get_tensor(self._answer)
        return answer


def numpy_conflict(package: str) -> str | None:
    """Say what is wrong with a runtime's package and the NumPy here, before an import crashes.

    tflite-runtime was built against NumPy 1, although its metadata does not say so.
    """
    if package != "tflite-runtime" or int(np.__version__.partition(".")[0]) < 2:
        return None
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
    return (
        f"tflite-runtime {version} crashes with numpy {np.__version__}; expected numpy below 2; "
        "run `pip install 'numpy<2'`"
    )


def _find_interpreter() -> tuple[str, Any, str]:
    conflicts = []
    for name, module, package in CANDIDATES:
        if (conflict := numpy_conflict(package)) is not None:
            conflicts.append(conflict)
            continue
        try:
            found = importlib.import_module(module)
        except ImportError:
            continue
        return name, found, importlib.metadata.version(package)
    if conflicts:
        raise RuntimeMissingError(conflicts[0])
    raise RuntimeMissingError(
        "no TFLite runtime is installed; expected ai-edge-litert or tflite-runtime; "
        "run `pip install ai-edge-litert`, or `pip install tflite-runtime 'numpy<2'` on old boards"
    )
