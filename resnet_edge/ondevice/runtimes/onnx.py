"""ONNX files in onnxruntime, on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from resnet_edge.ondevice.measurements import Provider
from resnet_edge.ondevice.runtimes.base import Loading, Runtime

PROVIDERS = ["CPUExecutionProvider"]


class OnnxRuntime(Runtime):
    """An onnxruntime session with the CPU execution provider."""

    def __init__(self, loading: Loading) -> None:
        super().__init__(loading)
        onnxruntime, path = loading.module, loading.artifact.path
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = loading.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; its warnings are about its own optimizer
        if loading.profile_folder is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(loading.profile_folder / "profile")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=PROVIDERS)
        except Exception as problem:  # its exceptions share no public base class
            raise self.refusal(problem) from problem
        self._image = self._session.get_inputs()[0].name
        used = self._session.get_providers()
        # With one provider there is no other that a node could have fallen back to.
        left = () if used == PROVIDERS else None
        self.provider = Provider(", ".join(PROVIDERS), ", ".join(used), left)

    def end_profiling(self) -> Path:
        """Stop the profiler and return what it wrote: a JSON list of events."""
        return Path(self._session.end_profiling())

    def _run(self, batch: np.ndarray) -> np.ndarray:
        answer: np.ndarray = self._session.run(None, {self._image: batch})[0]
        return answer
