"""Facts that only a GPU can show: that the switches work, and that the proof catches real TF32."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from resnet_edge.full_precision.backend import BACKENDS
from resnet_edge.ondevice.gpus import find_gpus

pytestmark = pytest.mark.gpu

PROOF = """
import os, sys
from resnet_edge.full_precision.backend import use_full_float32
from resnet_edge.errors import InferenceError
from resnet_edge.full_precision.float32_proof import check_float32
from resnet_edge.full_precision.inference import KerasProducts

device = use_full_float32()
print(device)
if not device.is_gpu:
    sys.exit(77)
if sys.argv[1] == "rounded":
    if float(device.details["compute capability"]) < 8:
        sys.exit(78)
    del os.environ["NVIDIA_TF32_OVERRIDE"]
    match device.backend.split()[0]:
        case "tensorflow":
            import tensorflow as tf
            tf.config.experimental.enable_tensor_float_32_execution(True)
        case "jax":
            import jax
            jax.config.update("jax_default_matmul_precision", "default")
        case "torch":
            import torch
            torch.backends.cuda.matmul.allow_tf32 = sys.argv[2] == "matrices"
            torch.backends.cudnn.allow_tf32 = True
try:
    print(check_float32(KerasProducts(), device.description))
except InferenceError as problem:
    print(problem)
    sys.exit(1)
"""


@pytest.fixture(params=BACKENDS)
def keras_name(request) -> str:
    """A backend that is installed."""
    gpus = find_gpus()
    if not gpus.gpus:
        pytest.skip(gpus.summary)
    name = request.param
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


@pytest.fixture
def prove(keras_name, command):
    """Run the proof on one backend, in a process of its own."""
    name = keras_name
    _, environment = command

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-c", PROOF, *words],
            capture_output=True,
            text=True,
            env={**os.environ, **environment, "KERAS_BACKEND": name},
            check=False,
        )
        if done.returncode == 77:
            pytest.skip(f"{name} is installed without GPU support: {done.stdout}")
        if done.returncode == 78:
            pytest.skip(f"no TF32 before compute capability 8.0: {done.stdout}")
        return done

    return run


def test_the_gpu_computes_in_full_float32(prove):
    done = prove("full")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "matrices=0.0" in done.stdout
    assert "'driver': '" in done.stdout


@pytest.mark.parametrize("what", ["matrices", "convolutions"])
def test_tf32_is_found_out(prove, what):
    done = prove("rounded", what)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "what is multiplied is rounded to about " in done.stdout


def test_a_reference_on_the_gpu_is_that_of_the_processor(prove, keras_name, build, command):
    import numpy as np

    from resnet_edge.ondevice.reference_file import read_reference

    assert prove("full").returncode == 0  # else it is skipped, with the reason
    before = read_reference(build / "reference.npz")
    (build / "reference.npz").unlink()
    words, environment = command
    quick = ("--min-seconds", "0.05", "--min-queries", "8")
    done = subprocess.run(
        [*words, "reference", "--out", str(build), *quick],
        capture_output=True,
        text=True,
        env={**environment, "KERAS_BACKEND": keras_name},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = read_reference(build / "reference.npz")
    np.testing.assert_allclose(found.logits, before.logits, atol=1e-4)
    assert found.info.device.startswith("GPU: ")
    assert [measured.batch for measured in found.info.throughput] == [1, 8, 32, 128]
