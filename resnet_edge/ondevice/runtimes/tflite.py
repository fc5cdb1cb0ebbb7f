"""TFLite files in any package that has the interpreter: LiteRT, tflite-runtime or TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Mapping

import numpy as np

from resnet_edge.errors import InferenceError
from resnet_edge.ondevice.measurements import Provider
from resnet_edge.ondevice.runtimes.base import Loading, Runtime, Scaling
from resnet_edge.units import counted, plural


class TFLiteRuntime(Runtime):
    """A TFLite interpreter with its default CPU delegate (XNNPACK)."""

    def __init__(self, loading: Loading) -> None:
        super().__init__(loading)
        path = loading.artifact.path
        try:
            self._interpreter = loading.module.Interpreter(
                model_path=str(path), num_threads=loading.threads
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as problem:
            raise self.refusal(problem) from problem
        self.provider = self._placement("XNNPACK, the interpreter's default")
        image = self._interpreter.get_input_details()[0]
        answer = self._interpreter.get_output_details()[0]
        if image["dtype"] != self._input_dtype:
            raise InferenceError(
                f"{path}: takes {np.dtype(image['dtype'])}, its sidecar says "
                f"{self._input_dtype}; export it again"
            )
        self._image, self._answer = image["index"], answer["index"]
        if not np.issubdtype(answer["dtype"], np.floating):
            scale, zero_point = answer["quantization"]
            self._scaling = Scaling(float(scale), int(zero_point))

    def _placement(self, requested: str) -> Provider:
        """Describe the delegates by the interpreter's list of operators, where it has one."""
        try:
            # Not public, but all that the Python packages tell, the same in 2.14 and in LiteRT.
            operators = self._interpreter._get_ops_details()
        except AttributeError:
            return Provider(requested, "")
        return Provider(requested, describe_delegation(operators), left_operators(operators))

    def _run(self, batch: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._image, batch)
        self._interpreter.invoke()
        answer: np.ndarray = self._interpreter.get_tensor(self._answer)
        return answer


Operator = Mapping[str, Any]
"""One of the interpreter's, with ``index``, ``op_name``, ``inputs`` and ``outputs``."""


def describe_delegation(operators: Sequence[Operator]) -> str:
    """Say how many operators a delegate took over, and which it left to the interpreter.

    Args:
        operators: The interpreter's.

    Returns:
        For instance ``XNNPACK: 81 of 83 operators, in 2 parts; not PAD (2)``.
    """
    delegates = _delegates(operators)
    own = len(operators) - len(delegates)
    if not delegates:
        return f"none: the interpreter's own kernels for all {own} operators"
    left = left_operators(operators)
    words = f"XNNPACK: {own - len(left)} of {own} operators, in {plural(len(delegates), 'part')}"
    return f"{words}; not {counted(left)}" if left else words


def left_operators(operators: Sequence[Operator]) -> tuple[str, ...]:
    """Return the operators that no delegate took over, a name for each of them.

    A delegate stands in the list as operators of its own, ``DELEGATE``, after those that it
    replaced, which stay in the list: they are what lies between its inputs and its outputs.

    Args:
        operators: The interpreter's.
    """
    own = [each for each in operators if each["op_name"] != "DELEGATE"]
    makers = {int(tensor): each for each in own for tensor in each["outputs"]}
    taken: set[int] = set()
    for delegate in _delegates(operators):
        seen = {int(tensor) for tensor in delegate["inputs"]}
        wanted = [int(tensor) for tensor in delegate["outputs"]]
        while wanted:
            tensor = wanted.pop()
            if tensor not in seen and tensor in makers:
                taken.add(makers[tensor]["index"])
                wanted += [int(tensor) for tensor in makers[tensor]["inputs"]]
            seen.add(tensor)
    return tuple(each["op_name"] for each in own if each["index"] not in taken)


def _delegates(operators: Sequence[Operator]) -> list[Operator]:
    return [each for each in operators if each["op_name"] == "DELEGATE"]
