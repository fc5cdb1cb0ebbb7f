"""TFLite files in LiteRT's CompiledModel, the API that follows the interpreter, on the CPU."""

from __future__ import annotations

import importlib

import numpy as np

from resnet_edge.errors import InferenceError, first_line
from resnet_edge.ondevice.measurements import UNNAMED, Provider
from resnet_edge.ondevice.runtimes.base import Loading, Runtime, Scaling

REQUESTED = "XNNPACK, CompiledModel's CPU accelerator"


class CompiledModelRuntime(Runtime):
    """A model compiled for the CPU, with buffers for one picture and one answer.

    It tells whether its delegate took every operator, but neither how many nor which.
    """

    def __init__(self, loading: Loading) -> None:
        super().__init__(loading)
        api, path = loading.module, loading.artifact.path
        options = api.Options(cpu_options=api.CpuOptions(num_threads=loading.threads))
        try:
            # Its runtime registers every accelerator that it finds; these options ask for the CPU.
            self._model = api.CompiledModel.from_file(str(path), options=options)
            ((key, names),) = self._model.get_signature_list().items()
            (image,), (answer,) = names["inputs"], names["outputs"]
            question = self._model.get_input_tensor_details(key)[image]
            reply = self._model.get_output_tensor_details(key)[answer]
            self._questions = self._model.create_input_buffers(0)
            self._replies = self._model.create_output_buffers(0)
            whole = self._model.is_fully_accelerated()
        except (ValueError, RuntimeError) as problem:
            raise self.refusal(first_line(problem)) from problem
        if np.dtype(question["dtype"]) != self._input_dtype:
            raise InferenceError(
                f"{path}: takes {np.dtype(question['dtype'])}, its sidecar says "
                f"{self._input_dtype}; export it again"
            )
        self._shape, self._dtype = tuple(reply["shape"]), np.dtype(reply["dtype"])
        if not np.issubdtype(self._dtype, np.floating):
            self._scaling = _output_scaling(loading)
        self.provider = placement(whole)

    def _run(self, batch: np.ndarray) -> np.ndarray:
        self._questions[0].write(batch)
        self._model.run_by_index(0, self._questions, self._replies)
        answer: np.ndarray = self._replies[0].read(int(np.prod(self._shape)), self._dtype)
        return answer.reshape(self._shape)


def _output_scaling(loading: Loading) -> Scaling:
    """Return the scaling of integer answers; CompiledModel keeps it to itself."""
    interpreter = importlib.import_module("ai_edge_litert.interpreter")
    reader = interpreter.Interpreter(model_path=str(loading.artifact.path))  # nothing allocated
    scale, zero_point = reader.get_output_details()[0]["quantization"]
    return Scaling(float(scale), int(zero_point))


def placement(whole: bool) -> Provider:
    """Say what ``is_fully_accelerated`` proves: no operator of the plan is the runtime's own."""
    if whole:
        return Provider(REQUESTED, "XNNPACK: all operators", ())
    used = "XNNPACK at most in part; CompiledModel does not name the operators that it left"
    return Provider(REQUESTED, used, (UNNAMED,))
