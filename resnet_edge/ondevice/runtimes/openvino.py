"""ONNX files in OpenVINO, on the CPU: often the faster runtime on x86 processors."""

from __future__ import annotations

import numpy as np

from resnet_edge.ondevice.measurements import Provider
from resnet_edge.ondevice.runtimes.base import Loading, Runtime

DEVICE = "CPU"


class OpenVinoRuntime(Runtime):
    """An OpenVINO model compiled for the CPU, for single queries.

    A float32 file is computed in float32: by default OpenVINO takes bfloat16 where the processor
    can, with 8 of float32's 24 significant bits.
    """

    def __init__(self, loading: Loading) -> None:
        super().__init__(loading)
        artifact = loading.artifact
        settings = {
            "INFERENCE_NUM_THREADS": loading.threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            core = loading.module.Core()
            model = core.read_model(str(artifact.path))
            model.reshape([1, *artifact.sidecar.image_size, 3])
            compiled = core.compile_model(model, DEVICE, settings)
        except RuntimeError as problem:
            raise self.refusal(str(problem).strip().splitlines()[-1]) from problem
        self._request = compiled.create_infer_request()
        devices = compiled.get_property("EXECUTION_DEVICES")
        self.provider = Provider(DEVICE, ", ".join(devices), () if devices == [DEVICE] else None)

    def _run(self, batch: np.ndarray) -> np.ndarray:
        (answer,) = self._request.infer([batch], share_inputs=True).values()
        return np.asarray(answer)
