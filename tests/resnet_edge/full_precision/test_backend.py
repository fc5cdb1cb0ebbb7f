from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from resnet_edge.errors import RuntimeMissingError, UsageError
from resnet_edge.full_precision import backend
from resnet_edge.full_precision.backend import (
    Device,
    keras_backend,
    set_environment,
    use_full_float32,
)

SMI = "NVIDIA A10, 23028 MiB, 550.54.15\n"


def lists(text: str) -> Callable[[tuple[str, ...]], str]:
    return lambda _: text


def no_smi(_: tuple[str, ...]) -> str:
    raise FileNotFoundError("nvidia-smi")


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """As before Keras was imported, without a ``keras.json``."""
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    return tmp_path


@pytest.fixture
def installed(monkeypatch):
    """Pretend that only these packages are installed."""

    def only(*names: str) -> None:
        spec = lambda name: object() if name in names else None  # noqa: E731
        monkeypatch.setattr(backend.importlib.util, "find_spec", spec)

    return only


def test_which_backend_keras_takes(fresh, installed, monkeypatch):
    installed("keras", "tensorflow", "jax", "torch")
    assert keras_backend() == "tensorflow"
    (fresh / "keras.json").write_text('{"backend": "jax"}')
    assert keras_backend() == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert keras_backend() == "torch"
    monkeypatch.delenv("KERAS_BACKEND")
    for damaged in ("{", "[]", "{}"):
        (fresh / "keras.json").write_text(damaged)
        assert keras_backend() == "tensorflow"


@pytest.mark.parametrize("name", ["abacus", "numpy", "openvino"])
def test_an_unknown_backend(fresh, installed, monkeypatch, name):
    installed("keras", "tensorflow", name)
    monkeypatch.setenv("KERAS_BACKEND", name)
    with pytest.raises(UsageError) as caught:
        keras_backend()
    assert str(caught.value) == (
        f"KERAS_BACKEND: got {name}; expected one of tensorflow, jax, torch"
    )


def test_a_backend_that_is_not_installed(fresh, installed, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    installed("keras", "torch")
    with pytest.raises(RuntimeMissingError) as caught:
        keras_backend()
    assert str(caught.value) == (
        "KERAS_BACKEND: jax is not installed; run `pip install 'jax[cuda12]'` (without an NVIDIA "
        "GPU: `pip install jax`), or set KERAS_BACKEND=torch, which is installed"
    )
    installed("keras")
    with pytest.raises(RuntimeMissingError, match=r"install jax`\), or choose another$"):
        keras_backend()
    installed()
    with pytest.raises(RuntimeMissingError) as caught:
        keras_backend()
    assert str(caught.value) == "Keras is not installed; run `pip install 'keras>=3.15'`"


def test_shortcuts_are_switched_off_in_the_environment(monkeypatch):
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH", raising=False)
    set_environment()
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"  # never the user's choice
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "true"  # the user's choice
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"


def found(name: str = "NVIDIA A10") -> backend._Accelerator:
    return backend._Accelerator(name, {"compute capability": "8.6", "CUDA": "12.8"})


def test_a_gpu_is_named_with_driver_and_libraries(monkeypatch):
    versions = {"nvidia-cudnn-cu12": "9.10.2", "nvidia-cublas": "13.0.1"}

    def version(package: str) -> str:
        try:
            return versions[package]
        except KeyError:
            raise importlib.metadata.PackageNotFoundError(package) from None

    monkeypatch.setattr(importlib.metadata, "version", version)
    gpus = backend.find_gpus(lists("Tesla T4, 15360 MiB, 550.54.15\n" + SMI)).gpus
    assert backend._describe(found(), "torch 2.13.0", gpus) == Device(
        "GPU: NVIDIA A10",
        True,
        "torch 2.13.0",
        {
            "driver": "550.54.15",
            "memory": "22 GiB",
            "cuBLAS": "13.0.1",
            "cuDNN": "9.10.2",
            "compute capability": "8.6",
            "CUDA": "12.8",
        },
    )


def test_a_gpu_without_nvidia_smi_is_named_all_the_same():
    device = backend._describe(found("AMD Instinct"), "torch 2", ())
    assert (device.description, device.is_gpu, device.warning) == ("GPU: AMD Instinct", True, "")
    assert "driver" not in device.details


def test_a_gpu_that_the_backend_does_not_use():
    device = backend._describe(None, "jax 0.10.2", backend.find_gpus(lists(SMI)).gpus)
    assert not device.is_gpu
    words = "jax does not use the NVIDIA A10 that nvidia-smi lists"
    assert device.description.startswith(f"CPU: {words} (")
    assert device.warning == f"{words}; `pip install 'jax[cuda12]'` brings a build that does"


def test_this_processor():
    import keras

    device = use_full_float32(no_smi)
    name = keras.backend.backend()
    assert device.backend.startswith(f"{name} ")
    if not device.is_gpu:
        assert device.description.startswith("CPU: no GPU was found (")


SWITCHES = """
import sys
from types import ModuleType, SimpleNamespace as N

torch = ModuleType("torch")
torch.__version__ = "2"
torch.set_float32_matmul_precision = lambda level: setattr(torch, "level", level)
torch.version = N(cuda="12.8", hip=None)
torch.backends = N(
    cuda=N(matmul=N(allow_tf32=True)),
    cudnn=N(allow_tf32=True, benchmark=True, deterministic=False, version=lambda: 91002),
    mps=N(is_available=lambda: True),
)
torch.cuda = N(
    is_available=lambda: True,
    get_device_capability=lambda _: (8, 6),
    get_device_name=lambda _: "NVIDIA A10",
)
sys.modules["torch"] = torch
from resnet_edge.full_precision import backend

found = backend._prepare_torch()
assert found.name == "NVIDIA A10", found
assert found.details == {"compute capability": "8.6", "CUDA": "12.8", "cuDNN": "91002"}, found
cudnn = torch.backends.cudnn
assert (torch.level, torch.backends.cuda.matmul.allow_tf32) == ("highest", False)
assert (cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic) == (False, False, True)
torch.cuda.is_available = lambda: False
assert backend._prepare_torch().name == "Apple Metal"
torch.backends.mps.is_available = lambda: False
assert backend._prepare_torch() is None

jax = ModuleType("jax")
jax.config = N(update=lambda *pair: setattr(jax, "told", pair))
client = N(platform_version="PJRT C API\\ncuda 12080")
gpu = N(platform="gpu", device_kind="NVIDIA A10", compute_capability="8.6", client=client)
jax.devices = lambda: [gpu]
sys.modules["jax"] = jax
found = backend._prepare_jax()
assert jax.told == ("jax_default_matmul_precision", "highest")
assert found.details == {"compute capability": "8.6", "platform": "PJRT C API cuda 12080"}, found

tf = ModuleType("tensorflow")
tf.get_logger = lambda: N(setLevel=lambda _: None)
tf.sysconfig = N(get_build_info=lambda: {"cuda_version": "12.5.1", "cudnn_version": "9"})
known = {"device_name": "NVIDIA A10", "compute_capability": (8, 6)}
tf.config = N(
    experimental=N(
        enable_tensor_float_32_execution=lambda on: setattr(tf, "tf32", on),
        get_device_details=lambda _: known,
    ),
    list_physical_devices=lambda _: [N(name="/physical_device:GPU:0")],
)
sys.modules["tensorflow"] = tf
found = backend._prepare_tensorflow()
assert tf.tf32 is False
assert found.name == "NVIDIA A10"
assert found.details == {"compute capability": "8.6", "CUDA": "12.5.1", "cuDNN of the build": "9"}
"""


def test_every_backend_is_told(command):
    """Stand-ins for the three frameworks keep what they were told."""
    _, environment = command
    done = subprocess.run(
        [sys.executable, "-c", SWITCHES],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
