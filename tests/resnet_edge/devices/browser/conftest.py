"""A plan made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hand_browser import ANSWERS

from resnet_edge.devices.browser.plan import Plan
from resnet_edge.ondevice.formats.sidecar import Artifact
from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.ondevice.measurements import Latency
from resnet_edge.ondevice.parity.gates import Gates
from resnet_edge.ondevice.reference_file import Reference, ReferenceInfo
from resnet_edge.ondevice.runtimes.base import Scaling


@pytest.fixture
def plan(tmp_path: Path, hand_artifact: Callable[..., Artifact]) -> Plan:
    """fp32.tflite, int8_full.tflite and fp32.onnx, in this order of sizes; four pictures."""
    sizes = {"int8_full.tflite": 20, "fp32.tflite": 10, "fp32.onnx": 30}
    artifacts = tuple(hand_artifact(tmp_path, name, b"x" * size) for name, size in sizes.items())
    info = ReferenceInfo(
        model_sha256="ab" * 32,
        device="CPU",
        backend="tensorflow 2.21",
        dtype="float32",
        preprocessing="none",
        labels=("cat", "dog"),
        pictures=("a.png", "b.png", "c.png", "d.png"),
        hashes=("aa" * 32, "bb" * 32, "cc" * 32, "dd" * 32),
        latency=Latency("Keras", 1, (0.01,), 0.1, 0.1, 0, 0),
        versions={},
    )
    logs = np.log(ANSWERS.astype(np.float64))
    return Plan(
        artifacts=artifacts,
        scalings={"int8_full.tflite": Scaling(1 / 256, 0)},
        reference=Reference(
            info, ANSWERS, logs - logs.mean(axis=1, keepdims=True), np.array([0, 1, 0, 0])
        ),
        pixels=np.arange(4 * 4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 4, 3),
        model_sha256="ab" * 32,
        reference_sha256="cd" * 32,
        gates=Gates(),
        spec=LatencySpec(0.1, 8),
        threads=None,
        made_by="resnet-edge 0.1.0",
    )
