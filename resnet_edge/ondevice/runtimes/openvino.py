"""ONNX files in OpenVINO, on the CPU: often the faster runtime on x86 processors."""

from __future__ import annotations

import importlib.metadata

import numpy as np

from resnet_edge.errors import InferenceError, RuntimeMissingError
from resnet_edge.ondevice.formats.sidecar import Artifact
from resnet_edge.ondevice.measurements import Provider
from resnet_edge.ondevice.runtimes.base import Runtime

DEVICE = "CPU"


class OpenVinoRuntime(Runtime):
    """An OpenVINO model compiled for the CPU, for single queries.

    What the file says is computed in float32 is computed so: by default OpenVINO takes bfloat16
    where the processor can, with 8 of float32's 24 significant bits.
    """

    name = "OpenVINO"

    def __init__(self, artifact: Artifact, threads: int) -> None:
        """Load the file.

        Args:
            artifact: An ONNX file.
            threads: For one inference, at least 1.
        """
        super().__init__(artifact)
        try:
            import openvino
        except ImportError as problem:
            raise RuntimeMissingError(
                "OpenVINO is not installed; expected it to run .onnx files in it; "
                "run `pip install openvino`"
            ) from problem
        self.version = importlib.metadata.version("openvino")
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            core = openvino.Core()
            model = core.read_model(str(artifact.path))
            model.reshape([1, *artifact.sidecar.image_size, 3])
            compiled = core.compile_model(model, DEVICE, settings)
        except RuntimeError as problem:
            reason = str(problem).strip().splitlines()[-1]
            raise InferenceError(
                f"{artifact.path}: {self.title} refuses the file: {reason}; it is damaged or needs "
                "a newer runtime; export it again or update the runtime"
            ) from problem
        self._request = compiled.create_infer_request()
        self.provider = Provider(DEVICE, ", ".join(compiled.get_property("EXECUTION_DEVICES")))

    def _run(self, batch: np.ndarray) -> np.ndarray:
        (answer,) = self._request.infer([batch], share_inputs=True).values()
        return np.asarray(answer)
