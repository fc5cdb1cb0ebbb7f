"""ResNet50 on edge devices: fine-tune, export, and proof for every exported file.

    import resnet_edge as edge

    result = edge.run(edge.Options(data=edge.DataOptions("photos")))
    print(result.report.content.verdict)

Names are loaded when they are first used, so that importing this package imports neither TensorFlow
nor anything else that a device does not have.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # The table of the public names: type checkers read it, and ``_homes`` does.
    from resnet_edge.comparison.compare_builds import Comparison as Comparison
    from resnet_edge.comparison.tolerance import Tolerance as Tolerance
    from resnet_edge.compression.limits import CompressionOptions as CompressionOptions
    from resnet_edge.data.shares import SplitShares as SplitShares
    from resnet_edge.display import Display as Display
    from resnet_edge.errors import ResnetEdgeError as ResnetEdgeError
    from resnet_edge.model.resnet50 import conv_block as conv_block
    from resnet_edge.model.resnet50 import identity_block as identity_block
    from resnet_edge.model.resnet50 import resnet50 as resnet50
    from resnet_edge.model.weights import build_model as build_model
    from resnet_edge.ondevice.fit import Fit as Fit
    from resnet_edge.ondevice.formats.sidecar import Artifact as Artifact
    from resnet_edge.ondevice.formats.sidecar import Sidecar as Sidecar
    from resnet_edge.ondevice.formats.sidecar import load_artifact as load_artifact
    from resnet_edge.ondevice.formats.sidecar import load_artifacts as load_artifacts
    from resnet_edge.ondevice.latency.spec import LatencySpec as LatencySpec
    from resnet_edge.ondevice.option import Changes as Changes
    from resnet_edge.ondevice.parity.gates import Gates as Gates
    from resnet_edge.ondevice.pictures import decode_picture as decode_picture
    from resnet_edge.ondevice.runtimes.opening import open_runtime as open_runtime
    from resnet_edge.options import BenchOptions as BenchOptions
    from resnet_edge.options import BundleOptions as BundleOptions
    from resnet_edge.options import CalibrationOptions as CalibrationOptions
    from resnet_edge.options import DataOptions as DataOptions
    from resnet_edge.options import ModelOptions as ModelOptions
    from resnet_edge.options import Options as Options
    from resnet_edge.options import QuantizationOptions as QuantizationOptions
    from resnet_edge.recommendation import Recommendation as Recommendation
    from resnet_edge.robustness.corruptions import RobustnessOptions as RobustnessOptions
    from resnet_edge.scale.engine import EngineKind as EngineKind
    from resnet_edge.scale.engine import ScaleOptions as ScaleOptions
    from resnet_edge.steps.bench import bench as bench
    from resnet_edge.steps.browser import browser as browser
    from resnet_edge.steps.bundle import bundle as bundle
    from resnet_edge.steps.compare import compare as compare
    from resnet_edge.steps.compress import Compressed as Compressed
    from resnet_edge.steps.compress import compress as compress
    from resnet_edge.steps.doctor import doctor as doctor
    from resnet_edge.steps.export import export as export
    from resnet_edge.steps.finetune import finetune as finetune
    from resnet_edge.steps.inspect import inspect as inspect
    from resnet_edge.steps.parity import parity as parity
    from resnet_edge.steps.recommend import recommend as recommend
    from resnet_edge.steps.reference import reference as reference
    from resnet_edge.steps.report import report as report
    from resnet_edge.steps.run import run as run
    from resnet_edge.training.training_settings import TrainingSettings as TrainingSettings


@functools.lru_cache(maxsize=None)
def _homes() -> dict[str, str]:
    """Return the module of every public name, as the imports above have it."""
    source = importlib.util.find_spec(__name__).loader.get_source(__name__)  # type: ignore
    return {
        alias.name: node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(__name__)
        for alias in node.names
    }


def __getattr__(name: str) -> object:
    """Load a public name from its module (PEP 562)."""
    if name == "__all__":
        return sorted(_homes())
    if name.startswith("__") or name not in _homes():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_homes()[name]), name)


def __dir__() -> list[str]:
    return sorted(_homes())
