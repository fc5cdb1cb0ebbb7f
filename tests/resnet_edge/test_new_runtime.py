"""A new runtime is its own module and one row: both are added to a copy of the package here.

The toy runs ONNX files in onnx's reference implementation. Every command then knows it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

ENGINE = """
from onnx.reference import ReferenceEvaluator as Engine
"""
"""A package from elsewhere, as pip installs one."""

MODULE = '''
"""ONNX files in a toy."""

from __future__ import annotations

import numpy as np

from resnet_edge.ondevice.measurements import Provider
from resnet_edge.ondevice.runtimes.base import Loading, Runtime


class ToyRuntime(Runtime):
    """The toy's engine."""

    def __init__(self, loading: Loading) -> None:
        super().__init__(loading)
        self._engine = loading.module.Engine(str(loading.artifact.path))
        self._image = self._engine.input_names[0]
        self.provider = Provider("toy", "toy")

    def _run(self, batch: np.ndarray) -> np.ndarray:
        return self._engine.run(None, {self._image: batch})[0]
'''

ROW = """    RuntimeKind(
        name="Toy",
        format=Format.ONNX,
        module="toy_engine",
        package="toy-engine",
        opener="resnet_edge.ondevice.runtimes.toy:ToyRuntime",
        use="runs .onnx files slowly",
        no_profiler="the toy has none",
    ),
)
\"\"\"Every runtime"""


@pytest.fixture(scope="session")
def with_toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages, the toy's module and its row in them, and its engine."""
    home = tmp_path_factory.mktemp("with-toy")
    for package in ("resnet_edge", "converters", "calibration_data"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / package, home / package, ignore=ignored)
    (home / "toy_engine.py").write_text(ENGINE)
    (home / "toy_engine-1.5.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: toy-engine\nVersion: 1.5\n"
    (home / "toy_engine-1.5.dist-info" / "METADATA").write_text(metadata)
    (home / "resnet_edge" / "ondevice" / "runtimes" / "toy.py").write_text(MODULE)
    table = home / "resnet_edge" / "ondevice" / "runtimes" / "kinds.py"
    before, end, after = table.read_text().partition(')\n"""Every runtime')
    assert end
    table.write_text(before + ROW + after)
    return home


@pytest.fixture
def toy(with_toy: Path, tmp_path: Path) -> Callable[..., object]:
    """Run a command of that copy and return the JSON that it prints."""

    def run(*words: str | Path) -> object:
        done = subprocess.run(
            [sys.executable, "-m", "resnet_edge", *map(str, words), "--json"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(with_toy)},
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout)

    return run


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_doctor_knows_it(toy) -> None:
    package = next(p for p in toy("doctor")["packages"] if p["name"] == "toy-engine")
    assert (package["version"], package["use"]) == ("1.5", "runs .onnx files slowly")


def test_it_answers_is_timed_and_is_recommended(toy, build: Path) -> None:
    only = ("--out", build, "--formats", "fp32.onnx")
    toy("parity", *only)
    answers = read(build / "results" / "parity.json")["elsewhere"]
    assert ("fp32.onnx", "Toy 1.5") in [(each["name"], each["runtime"]) for each in answers]
    (mine,) = [each for each in answers if each["runtime"] == "Toy 1.5"]
    assert (mine["gate"]["verdict"], mine["agreement"]) == ("pass", 1.0)

    toy("bench", *only, "--min-seconds", "0.02", "--min-queries", "4", "--threads", "1")
    (record,) = (build / "results").glob("bench-*.json")
    assert read(record)["machine"]["runtimes"]["Toy"] == "1.5"
    bench = next(each for each in read(record)["artifacts"] if each["name"] == "fp32.onnx")
    assert {latency["runtime"] for latency in bench["latencies"]} >= {"onnxruntime", "Toy"}

    found = toy("recommend", *only, "--threads", "1", "--allow-inconclusive")
    assert found["machine"]["runtimes"]["Toy"] == "1.5"
    assert [choice["name"] for choice in found["choices"]] == ["fp32.onnx"]
