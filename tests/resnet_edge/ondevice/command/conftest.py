"""The finished build's bundle, run as a device runs it: by an interpreter, from another folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

QUICK = ("--min-seconds", "0.02", "--min-queries", "4", "--threads", "1")


@dataclass(frozen=True)
class Ran:
    """A command's exit code and its output."""

    code: int
    out: str
    err: str


def _run_bundle(
    archive: Path, *words: str | Path, python: str | Path = sys.executable, **variables: str
) -> Ran:
    """Start the archive without this repository on the path."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), str(archive), *map(str, words)],
        capture_output=True,
        text=True,
        cwd=archive.parent,
        env={**environment, **variables},
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(name="run_bundle", scope="session")
def _run_bundle_fixture() -> Callable[..., Ran]:
    return _run_bundle


@pytest.fixture(scope="session")
def whole_bundle(edge_build: Path) -> Path:
    """fp32.tflite, int8.tflite, fp32.onnx and the test split. Not to be changed."""
    return edge_build / "resnet-edge-device.pyz"


@pytest.fixture
def bundle_path(whole_bundle: Path, tmp_path: Path) -> Path:
    """A copy, alone in a folder."""
    return Path(shutil.copy(whole_bundle, tmp_path))


@pytest.fixture(scope="session")
def result_path(whole_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of a whole run. Not to be changed."""
    path = tmp_path_factory.mktemp("device") / "result.json"
    ran = _run_bundle(whole_bundle, "run", *QUICK, "--allow-inconclusive", "--out", path)
    assert ran.code == 0, ran.err
    return path
