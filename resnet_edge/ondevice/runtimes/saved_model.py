"""SavedModel folders in TensorFlow."""

from __future__ import annotations

import numpy as np

from resnet_edge.errors import InferenceError
from resnet_edge.ondevice.measurements import Provider
from resnet_edge.ondevice.runtimes.base import Loading, Runtime


class SavedModelRuntime(Runtime):
    """The folder's serving signature in TensorFlow."""

    def __init__(self, loading: Loading) -> None:
        super().__init__(loading)
        tf, artifact, threads = loading.module, loading.artifact, loading.threads
        # TensorFlow takes thread counts once per process; artifacts are measured in their own.
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        except RuntimeError as problem:
            raise InferenceError(
                f"{artifact.path}: TensorFlow has started in this process with other thread "
                f"counts; expected to set {threads}; open a SavedModel in a process of its own"
            ) from problem
        try:
            # The signature keeps no reference to what it computes with: hold the loaded object too.
            self._loaded = tf.saved_model.load(str(artifact.path))
            self._serve = self._loaded.signatures["serving_default"]
        except (OSError, KeyError, ValueError) as problem:
            raise InferenceError(
                f"{artifact.path}: {self.title} refuses the folder: {problem}; export it again"
            ) from problem
        devices = [device.name for device in tf.config.list_logical_devices()]
        used = next((name for name in devices if "GPU" in name), devices[0])
        left = () if len(devices) == 1 else None  # with one there is nothing to fall back to
        self.provider = Provider("TensorFlow's choice of device", used, left)
        self._constant = tf.constant
        self._output = artifact.sidecar.output_name

    def _run(self, batch: np.ndarray) -> np.ndarray:
        answer: np.ndarray = self._serve(image=self._constant(batch))[self._output].numpy()
        return answer
