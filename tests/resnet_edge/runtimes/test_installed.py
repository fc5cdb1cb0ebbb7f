from __future__ import annotations

import importlib.metadata

import pytest

from resnet_edge.artifacts import Format
from resnet_edge.runtimes.installed import InstalledRuntime, install_line, installed_runtime


@pytest.mark.parametrize(
    ("kind", "name", "package"),
    [
        (Format.TFLITE, "LiteRT", "ai-edge-litert"),
        (Format.ONNX, "onnxruntime", "onnxruntime"),
        (Format.SAVED_MODEL, "TensorFlow", "tensorflow"),
    ],
)
def test_what_is_here(kind, name, package):
    version = importlib.metadata.version(package)
    assert installed_runtime(kind) == InstalledRuntime(name, version)
    assert install_line(kind) == f"pip install {package}"


def test_the_preferred_one_is_taken(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda package: f"of {package}")
    here = {"tflite_runtime", "tensorflow"}
    assert installed_runtime(Format.TFLITE, here.__contains__) == InstalledRuntime(
        "tflite-runtime", "of tflite-runtime"
    )
    assert installed_runtime(Format.TFLITE, {"tensorflow"}.__contains__) == InstalledRuntime(
        "TensorFlow Lite", "of tensorflow"
    )
    assert installed_runtime(Format.ONNX, here.__contains__) is None


def test_a_package_by_another_name_has_no_version(monkeypatch):
    def missing(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert installed_runtime(Format.ONNX, lambda _: True) == InstalledRuntime("onnxruntime", "")
