"""TFLite files: LiteRT, or tflite-runtime, or the interpreter inside TensorFlow, in this order."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from resnet_edge.errors import InferenceError, RuntimeMissingError
from resnet_edge.ondevice.formats.sidecar import Artifact
from resnet_edge.ondevice.measurements import Provider
from resnet_edge.ondevice.runtimes.base import Runtime, Scaling

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
        self.provider = Provider("XNNPACK, the interpreter's default", self._delegated())
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

    def _delegated(self) -> str:
        """What the interpreter's list of operators says of delegates; empty where it has none."""
        try:
            # Not public, but all that the Python packages tell, the same in 2.14 and in LiteRT.
            operators = self._interpreter._get_ops_details()
        except AttributeError:
            return ""
        return describe_delegation(operators)

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


def describe_delegation(operators: Sequence[Mapping[str, Any]]) -> str:
    """Say how many operators a delegate took over, and which it left to the interpreter.

    A delegate stands in the list as operators of its own, ``DELEGATE``, after those that it
    replaced, which stay in the list: they are what lies between its inputs and its outputs.

    Args:
        operators: The interpreter's, each with ``index``, ``op_name``, ``inputs`` and ``outputs``.

    Returns:
        For instance ``XNNPACK: 81 of 83 operators, in 2 parts; not PAD (2)``.
    """
    delegates = [each for each in operators if each["op_name"] == "DELEGATE"]
    own = [each for each in operators if each["op_name"] != "DELEGATE"]
    if not delegates:
        return f"none: the interpreter's own kernels for all {len(own)} operators"
    makers = {int(tensor): each for each in own for tensor in each["outputs"]}
    taken: set[int] = set()
    for delegate in delegates:
        seen = {int(tensor) for tensor in delegate["inputs"]}
        wanted = [int(tensor) for tensor in delegate["outputs"]]
        while wanted:
            tensor = wanted.pop()
            if tensor not in seen and tensor in makers:
                taken.add(makers[tensor]["index"])
                wanted += [int(tensor) for tensor in makers[tensor]["inputs"]]
            seen.add(tensor)
    left = Counter(each["op_name"] for each in own if each["index"] not in taken)
    names = ", ".join(f"{name} ({count})" for name, count in sorted(left.items()))
    parts = f"{len(delegates)} part{'' if len(delegates) == 1 else 's'}"
    words = f"XNNPACK: {len(taken)} of {len(own)} operators, in {parts}"
    return f"{words}; not {names}" if names else words


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
