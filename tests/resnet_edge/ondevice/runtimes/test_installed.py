from __future__ import annotations

import importlib.metadata
import importlib.util
import sys

import pytest

from resnet_edge.errors import RuntimeMissingError
from resnet_edge.ondevice.formats.kinds import Format
from resnet_edge.ondevice.runtimes import installed, kinds
from resnet_edge.ondevice.runtimes.installed import (
    InstalledRuntime,
    install_line,
    installed_runtime,
    missing_runtime,
)
from resnet_edge.ondevice.runtimes.kinds import Platform
from resnet_edge.ondevice.runtimes.opening import open_runtime


@pytest.fixture(autouse=True)
def one_runtime_for_onnx() -> None:
    """Here all rows count."""


def only_here(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Let the table hold no other runtimes than those of these modules."""
    rows = tuple(k for k in kinds.RUNTIME_KINDS if k.module.partition(".")[0] in modules)
    monkeypatch.setattr(kinds, "RUNTIME_KINDS", rows)


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


def test_onnx_files_have_two_runtimes_and_tflite_files_one_engine(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda package: "1")
    here = {"onnxruntime", "openvino", "ai_edge_litert", "tensorflow"}.__contains__
    onnx = (InstalledRuntime("onnxruntime", "1"), InstalledRuntime("OpenVINO", "1"))
    assert installed.installed_runtimes(Format.ONNX, here) == onnx
    assert installed.installed_runtimes(Format.TFLITE, here) == (InstalledRuntime("LiteRT", "1"),)
    alone = {"openvino"}.__contains__
    assert installed_runtime(Format.ONNX, alone) == InstalledRuntime("OpenVINO", "1")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if here(name) else None)
    assert installed.further_runtimes(Format.ONNX) == ("OpenVINO",)
    assert installed.further_runtimes(Format.SAVED_MODEL) == ()
    assert installed.all_installed([Format.TFLITE, Format.ONNX, Format.TFLITE]) == (
        *onnx,
        InstalledRuntime("LiteRT", "1"),
    )


def test_a_package_by_another_name_has_no_version(monkeypatch):
    def missing(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert installed_runtime(Format.ONNX, lambda _: True) == InstalledRuntime("onnxruntime", "")


@pytest.mark.parametrize(
    ("kind", "platform", "line"),
    [
        (Format.TFLITE, Platform((3, 13), True), "pip install ai-edge-litert"),
        (Format.TFLITE, Platform((3, 9), True), "pip install ai-edge-litert"),
        (Format.TFLITE, Platform((3, 8), True), "pip install tflite-runtime 'numpy<2'"),
        (Format.TFLITE, Platform((3, 11), False), "pip install tflite-runtime 'numpy<2'"),
        (Format.ONNX, Platform((3, 8), True), "pip install onnxruntime"),
    ],
)
def test_the_install_line_is_for_the_platform(kind, platform, line):
    assert install_line(kind, platform) == line
    missing = missing_runtime(kind, lambda _: False, platform)
    assert missing.install == line.partition("pip install ")[2]
    assert missing.reason == f"no runtime for {kind.value} files is installed here; run `{line}`"


def test_where_there_are_no_wheels():
    wide, narrow = Platform((3, 12), True), Platform((3, 12), False)
    assert missing_runtime(Format.ONNX, lambda _: False, narrow).install == ""
    assert missing_runtime(Format.ONNX, lambda _: False, narrow).reason == (
        "no runtime for onnx files is installed here, and onnxruntime has no wheels for 32-bit "
        "systems; take .tflite files"
    )
    assert missing_runtime(Format.TFLITE, lambda _: False, narrow).reason == (
        "no runtime for tflite files is installed here, and on 32-bit systems there are wheels for "
        "Python up to 3.11 only; with such a Python run `pip install tflite-runtime 'numpy<2'`"
    )
    assert "wheels" not in missing_runtime(Format.TFLITE, lambda _: False, wide).reason


def test_numpy_2_with_tflite_runtime_is_told_before_the_import(exported, monkeypatch):
    versions = {"numpy": "2.1.0", "tflite-runtime": "2.14.0", "ai-edge-litert": "2.3.0"}
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    conflict = (
        "tflite-runtime 2.14.0 crashes with numpy 2.1.0; expected numpy below 2; "
        "run `pip install 'numpy<2'`"
    )
    here = {"tflite_runtime"}.__contains__
    assert installed_runtime(Format.TFLITE, here) is None
    missing = missing_runtime(Format.TFLITE, here)
    assert (missing.reason, missing.install) == (conflict, "'numpy<2'")
    only_here(monkeypatch, "tflite_runtime")
    monkeypatch.setitem(sys.modules, "tflite_runtime", pytest)  # an import would succeed
    with pytest.raises(RuntimeMissingError) as caught:
        open_runtime(exported.artifact("fp32.tflite"), 1)
    assert str(caught.value) == conflict


def test_numpy_1_with_tflite_runtime(monkeypatch):
    versions = {"numpy": "1.26.4", "tflite-runtime": "2.14.0"}
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    assert installed_runtime(Format.TFLITE, {"tflite_runtime"}.__contains__) == InstalledRuntime(
        "tflite-runtime", "2.14.0"
    )
