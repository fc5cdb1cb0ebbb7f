"""ResNet50 on edge devices: fine-tune, export, and proof for every exported file.

    import resnet_edge as edge

    result = edge.run(edge.Options(data=edge.DataOptions(Path("photos"))))
    print(result.report.content.verdict)

Names are loaded when they are first used, so that importing this package imports neither TensorFlow
nor anything else that a device does not have.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resnet_edge.comparison import Comparison, Tolerance
    from resnet_edge.errors import ResnetEdgeError
    from resnet_edge.model.resnet50 import conv_block, identity_block, resnet50
    from resnet_edge.model.weights import build_model
    from resnet_edge.ondevice.formats.sidecar import (
        Artifact,
        Sidecar,
        load_artifact,
        load_artifacts,
    )
    from resnet_edge.ondevice.parity.gates import Gates
    from resnet_edge.ondevice.parity.judging import GateChanges
    from resnet_edge.ondevice.pictures import Fit, decode_picture
    from resnet_edge.ondevice.runtimes.opening import open_runtime
    from resnet_edge.options import (
        BenchOptions,
        BundleOptions,
        CalibrationOptions,
        DataOptions,
        ModelOptions,
        Options,
    )
    from resnet_edge.recommendation import Recommendation
    from resnet_edge.steps.bench import measure_latency
    from resnet_edge.steps.bundle import make_bundle
    from resnet_edge.steps.compare import compare
    from resnet_edge.steps.export import export
    from resnet_edge.steps.finetune import finetune
    from resnet_edge.steps.parity import check_parity
    from resnet_edge.steps.recommend import recommend
    from resnet_edge.steps.reference import make_reference
    from resnet_edge.steps.report import make_report
    from resnet_edge.steps.run import run
    from resnet_edge.training.settings import TrainingSettings

_HOMES = {
    "Artifact": "ondevice.formats.sidecar",
    "BenchOptions": "options",
    "BundleOptions": "options",
    "CalibrationOptions": "options",
    "Comparison": "comparison",
    "DataOptions": "options",
    "Fit": "ondevice.pictures",
    "GateChanges": "ondevice.parity.judging",
    "Gates": "ondevice.parity.gates",
    "ModelOptions": "options",
    "Options": "options",
    "Recommendation": "recommendation",
    "ResnetEdgeError": "errors",
    "Sidecar": "ondevice.formats.sidecar",
    "Tolerance": "comparison",
    "TrainingSettings": "training.settings",
    "build_model": "model.weights",
    "check_parity": "steps.parity",
    "compare": "steps.compare",
    "conv_block": "model.resnet50",
    "decode_picture": "ondevice.pictures",
    "export": "steps.export",
    "finetune": "steps.finetune",
    "identity_block": "model.resnet50",
    "load_artifact": "ondevice.formats.sidecar",
    "load_artifacts": "ondevice.formats.sidecar",
    "make_bundle": "steps.bundle",
    "make_reference": "steps.reference",
    "make_report": "steps.report",
    "measure_latency": "steps.bench",
    "open_runtime": "ondevice.runtimes.opening",
    "recommend": "steps.recommend",
    "resnet50": "model.resnet50",
    "run": "steps.run",
}

__all__ = [
    "Artifact",
    "BenchOptions",
    "BundleOptions",
    "CalibrationOptions",
    "Comparison",
    "DataOptions",
    "Fit",
    "GateChanges",
    "Gates",
    "ModelOptions",
    "Options",
    "Recommendation",
    "ResnetEdgeError",
    "Sidecar",
    "Tolerance",
    "TrainingSettings",
    "build_model",
    "check_parity",
    "compare",
    "conv_block",
    "decode_picture",
    "export",
    "finetune",
    "identity_block",
    "load_artifact",
    "load_artifacts",
    "make_bundle",
    "make_reference",
    "make_report",
    "measure_latency",
    "open_runtime",
    "recommend",
    "resnet50",
    "run",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
