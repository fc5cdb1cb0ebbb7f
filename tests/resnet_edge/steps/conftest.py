"""The options of the finished build, as the Python API has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_edge.ondevice.latency.spec import LatencySpec
from resnet_edge.options import BenchOptions, DataOptions, ModelOptions, Options, parse_formats
from resnet_edge.training.settings import TrainingSettings

FORMATS = "fp32.tflite,int8.tflite,fp32.onnx"


@pytest.fixture(scope="session")
def options_for(edge_photos: Path, edge_model: Path) -> Callable[[Path], Options]:
    """The same as the arguments that the build in tests/conftest.py was made with."""

    def make(out: Path) -> Options:
        return Options(
            out=out,
            data=DataOptions(edge_photos),
            model=ModelOptions(str(edge_model)),
            training=TrainingSettings(epochs=30, learning_rate=0.2, augment=False),
            formats=parse_formats(FORMATS),
            bench=BenchOptions(LatencySpec(0.05, 8), (1,)),
        )

    return make


@pytest.fixture
def options(options_for: Callable[[Path], Options], build: Path) -> Options:
    """For the copy of the finished build."""
    return options_for(build)
