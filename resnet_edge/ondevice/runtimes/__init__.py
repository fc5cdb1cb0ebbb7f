"""The runtimes that artifacts are made for, behind one small interface.

Device-safe: the standard library, NumPy and the one runtime that the artifact needs.
"""

from __future__ import annotations

from resnet_edge.ondevice.formats.kinds import Format
from resnet_edge.ondevice.formats.sidecar import Artifact
from resnet_edge.ondevice.runtimes.base import Runtime
from resnet_edge.ondevice.runtimes.installed import preferred_name

__all__ = ["Runtime", "open_runtime"]


def open_runtime(artifact: Artifact, threads: int, runtime: str | None = None) -> Runtime:
    """Load an artifact into a runtime.

    Args:
        artifact: From ``resnet_edge.ondevice.formats.sidecar.load_artifact``.
        threads: Threads for one inference, at least 1.
        runtime: The name of one of ``installed_runtimes``; None takes the first of them.

    Returns:
        A runtime that is ready to answer.

    Raises:
        RuntimeMissingError: The runtime is not installed; the message has the install line.
        InferenceError: The runtime refuses the file, or the file is not what its sidecar says.
    """
    if artifact.sidecar.format is Format.TFLITE:
        from resnet_edge.ondevice.runtimes.tflite import TFLiteRuntime

        return TFLiteRuntime(artifact, threads)
    if artifact.sidecar.format is Format.ONNX:
        if (runtime or preferred_name(Format.ONNX)) == "OpenVINO":
            from resnet_edge.ondevice.runtimes.openvino import OpenVinoRuntime

            return OpenVinoRuntime(artifact, threads)
        from resnet_edge.ondevice.runtimes.onnx import OnnxRuntime

        return OnnxRuntime(artifact, threads)
    from resnet_edge.ondevice.runtimes.saved_model import SavedModelRuntime

    return SavedModelRuntime(artifact, threads)
