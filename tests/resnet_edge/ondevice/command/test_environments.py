"""The bundle in environments with exactly what a device has, and under old Pythons.

Each is made once per session from the package index; where one cannot be had the test says why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_edge.ondevice.command.device_result import read_device_result

pytestmark = pytest.mark.slow

QUICK = ("--min-seconds", "0.02", "--min-queries", "4", "--threads", "1", "--allow-inconclusive")
TFLITE, ONNX = ["fp32.tflite", "int8.tflite"], ["fp32.onnx"]
Environment = Callable[..., Path]


def find_python(version: str) -> Path:
    """An interpreter of that version: this one, one on the path, or one that pyenv has built."""
    if version == ".".join(map(str, sys.version_info[:2])):
        return Path(sys.executable)
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    here = [*root.glob(f"versions/{version}.*/bin/python{version}")]
    if found := shutil.which(f"python{version}"):
        here.append(Path(found))
    for python in here:
        asked = subprocess.run([str(python), "-c", "import venv, ensurepip"], check=False)
        if asked.returncode == 0:
            return python
    pytest.skip(f"there is no Python {version} with venv here, neither on the path nor in {root}")


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Make an environment of these packages alone; give its interpreter."""
    made: dict[tuple[str, ...], Path] = {}

    def make(version: str, *packages: str) -> Path:
        key = (version, *packages)
        if key not in made:
            folder = tmp_path_factory.mktemp("environment")
            subprocess.run([str(find_python(version)), "-m", "venv", str(folder)], check=True)
            python = folder / "bin" / "python"
            install = subprocess.run(
                [str(python), "-m", "pip", "install", "--quiet", *packages],
                capture_output=True,
                text=True,
                check=False,
            )
            if install.returncode:
                why = install.stderr.strip()[-300:]
                pytest.skip(f"pip cannot install {', '.join(packages)}: {why}")
            made[key] = python
        return made[key]

    return make


@pytest.mark.parametrize(
    ("version", "packages", "runtime", "names", "advice"),
    [
        (
            *("3.11", ("tflite-runtime==2.14.*", "numpy==1.26.*"), "tflite-runtime 2.14.0"),
            *(TFLITE, "pip install onnxruntime"),
        ),
        (
            *("3.11", ("ai-edge-litert", "numpy>=2"), "LiteRT "),
            *(TFLITE, "pip install onnxruntime"),
        ),
        ("3.11", ("onnxruntime",), "onnxruntime ", ONNX, "pip install ai-edge-litert"),
        ("3.11", ("openvino",), "OpenVINO ", ONNX, "pip install ai-edge-litert"),
        (
            *("3.9", ("tflite-runtime==2.14.*", "numpy<2"), "tflite-runtime 2.14.0"),
            *(TFLITE, "pip install onnxruntime"),
        ),
        (
            *("3.8", ("tflite-runtime==2.14.*", "numpy<2"), "tflite-runtime 2.14.0"),
            *(TFLITE, "pip install onnxruntime"),
        ),
        (
            *("3.8", ("onnxruntime",), "onnxruntime "),
            *(ONNX, "pip install tflite-runtime 'numpy<2'"),
        ),
    ],
)
def test_a_whole_run(
    bundle_path: Path, run_bundle, environment, version, packages, runtime, names, advice
):
    python = environment(version, *packages)
    ran = run_bundle(bundle_path, "run", *QUICK, "--out", "r.json", python=python)
    assert ran.code == 0, ran.err
    result = read_device_result(bundle_path.parent / "r.json")
    assert [parity.name for parity in result.parity.artifacts] == names
    assert [bench.name for bench in result.bench.artifacts] == names
    assert all(parity.runtime.startswith(runtime) for parity in result.parity.artifacts)
    assert result.parity.artifacts[0].agreement == 1.0
    assert result.machine.python.startswith(f"{version}.")
    assert result.failed == ()
    assert [gone.name for gone in result.left_out] == (ONNX if names == TFLITE else TFLITE)
    assert all(f"run `{advice}`" in gone.reason for gone in result.left_out)
    assert run_bundle(bundle_path, "info", python=python).code == 0


def test_numpy_alone(bundle_path: Path, run_bundle, environment):
    ran = run_bundle(bundle_path, "run", *QUICK, python=environment("3.11", "numpy==1.26.*"))
    assert ran.code == 1
    assert ran.err == (
        "error: nothing in this bundle can run here: no runtime for tflite files is installed "
        "here; run `pip install ai-edge-litert`; no runtime for onnx files is installed here; "
        "run `pip install onnxruntime`\n"
    )


def test_numpy_2_with_tflite_runtime(bundle_path: Path, run_bundle, environment):
    """Its import crashes, so it is told by the versions."""
    python = environment("3.11", "tflite-runtime==2.14.*", "numpy>=2")
    for words in (("run", *QUICK), ("classify", "picture.npy")):
        ran = run_bundle(bundle_path, *words, python=python)
        assert ran.code == 1
        assert "tflite-runtime 2.14.0 crashes with numpy 2." in ran.err
        assert "expected numpy below 2; run `pip install 'numpy<2'`" in ran.err


@pytest.mark.parametrize("version", ["3.7", "3.6"])
def test_a_python_that_is_too_old(bundle_path: Path, run_bundle, version):
    ran = run_bundle(bundle_path, "info", python=find_python(version))
    assert ran.code == 1
    assert ran.err == f"error: Python {version}; expected 3.8 or later\n"


@pytest.mark.parametrize("version", ["3.8", "3.9"])
def test_no_packages_at_all(bundle_path: Path, run_bundle, environment, version):
    ran = run_bundle(bundle_path, "run", python=environment(version, "pip"))
    assert ran.code == 1
    assert ran.err.startswith("error: numpy is not installed; expected 1.21 or later; run `pip in")


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"])
def test_a_truncated_bundle_in_every_python(bundle_path: Path, run_bundle, version):
    """Each parses what is no zip in its own way; all show the line that says why."""
    bundle_path.write_bytes(bundle_path.read_bytes()[:20_000])
    ran = run_bundle(bundle_path, "info", python=find_python(version))
    assert ran.code == 1
    assert "error: this bundle is cut short; copy it again" in ran.err
