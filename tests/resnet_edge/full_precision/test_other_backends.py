"""A pack on JAX and on PyTorch, each in an environment of its own without TensorFlow."""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path

import keras
import numpy as np
import pytest

from resnet_edge.ondevice.reference_file import read_reference
from resnet_edge.options import Options
from resnet_edge.steps.reference_pack import adopt_reference, pack_reference

pytestmark = pytest.mark.slow

INSTALLS = {
    "jax": (("jax",),),
    # A wheel with CUDA is gigabytes: only what lies in pip's find-links, and what that needs.
    "torch": (
        ("filelock", "typing-extensions", "sympy", "networkx", "jinja2", "fsspec"),
        ("--no-index", "--no-deps", "torch"),
    ),
}
"""The arguments of pip, call by call, that install a backend for processors."""


@pytest.fixture(scope="module", params=INSTALLS)
def python(request, tmp_path_factory) -> tuple[str, Path]:
    """The backend's name, and a Python that has it, Keras, and no TensorFlow."""
    home = tmp_path_factory.mktemp(request.param)
    venv.create(home, with_pip=True)
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    for words in ((f"keras=={keras.__version__}",), *INSTALLS[request.param]):
        done = subprocess.run(
            [python, "-m", "pip", "install", "--quiet", *words],
            capture_output=True,
            text=True,
            cwd=home,
            check=False,
        )
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
            pytest.skip(f"pip install {' '.join(words)} is not possible here: {said}")
    return request.param, python


def test_the_answers_are_tensorflows(python, build: Path, tmp_path):
    name, interpreter = python
    expected = read_reference(build / "reference.npz")
    pack = pack_reference(Options(out=build)).path
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [
            *(interpreter, "-I", pack, "--out", tmp_path / "r.npz"),
            *("--min-seconds", "0.1", "--min-queries", "8", "--batches", "1,8"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**environment, "KERAS_BACKEND": name},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = adopt_reference(Options(out=build), tmp_path / "r.npz")
    assert found.info.backend.startswith(f"{name} ")
    assert "tensorflow" not in found.info.versions
    assert [measured.batch for measured in found.info.throughput] == [1, 8]
    assert len(found.info.latency.samples_s) >= 8
    assert np.abs(found.logits - expected.logits).max() <= 1e-4
    assert np.abs(found.probabilities - expected.probabilities).max() <= 1e-5


def test_another_backend_is_named_where_one_is_missing(python, build: Path, tmp_path):
    name, interpreter = python
    pack = pack_reference(Options(out=build)).path
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "KERAS_BACKEND")}
    done = subprocess.run(
        [interpreter, "-I", pack, "--out", tmp_path / "r.npz"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**environment, "KERAS_HOME": str(tmp_path)},
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: KERAS_BACKEND: tensorflow is not installed; run `pip install "
        "'tensorflow[and-cuda]'` (without an NVIDIA GPU: `pip install tensorflow`), or set "
        f"KERAS_BACKEND={name}, which is installed\n"
    )
