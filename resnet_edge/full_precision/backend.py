"""Full float32 on the backend that Keras runs on: TensorFlow, JAX or PyTorch.

Only the backend in use is imported. GPUs of NVIDIA's Ampere and later round the operands of float32
products to TF32's 10 bits of mantissa unless that is switched off. It is switched off here, and
``resnet_edge.full_precision.float32_proof`` proves it.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from resnet_edge.errors import RuntimeMissingError, UsageError
from resnet_edge.ondevice.gpus import Gpu, find_gpus, run_command
from resnet_edge.ondevice.machine import describe_machine
from resnet_edge.ondevice.versions import installed_version

BACKENDS = {
    "tensorflow": "pip install 'tensorflow[and-cuda]'",
    "jax": "pip install 'jax[cuda12]'",
    "torch": "pip install torch",
}
"""Commands that install each backend together with NVIDIA's libraries."""

_FORCED = {"NVIDIA_TF32_OVERRIDE": "0"}
"""With this, cuBLAS and cuDNN never use TF32, even if a framework or the user asks for it."""

_PREFERRED = {
    # TensorFlow and JAX would reserve most of the GPU's memory at once. Then no error would tell
    # which batch is too large, and other processes on the same GPU could not work.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}

_LIBRARIES = {"CUDA runtime": "cuda-runtime", "cuBLAS": "cublas", "cuDNN": "cudnn"}
_SUFFIXES = ("-cu13", "-cu12", "-cu11", "")


@dataclass(frozen=True)
class Device:
    """The device that Keras computes on."""

    description: str
    """The device in words."""
    is_gpu: bool
    backend: str
    """Name and version, for instance ``tensorflow 2.21.0``."""
    details: dict[str, str] = field(default_factory=dict)
    """Driver, memory, compute capability and NVIDIA's libraries, as far as they can be found."""
    warning: str = ""
    """A GPU that the backend does not use, and what to do; empty if there is none."""


@dataclass(frozen=True)
class _Accelerator:
    """The GPU that a backend uses, as the backend describes it."""

    name: str
    details: dict[str, str]


def keras_backend() -> str:
    """Return the name of Keras' backend, without the seconds that importing Keras takes.

    Returns:
        ``tensorflow``, ``jax`` or ``torch``.

    Raises:
        UsageError: ``KERAS_BACKEND`` names another.
        RuntimeMissingError: Keras, or the backend, is not installed.
    """
    if "keras" in sys.modules:
        return str(sys.modules["keras"].backend.backend())
    if importlib.util.find_spec("keras") is None:
        raise RuntimeMissingError("Keras is not installed; run `pip install 'keras>=3.15'`")
    name = os.environ.get("KERAS_BACKEND") or _configured_backend() or "tensorflow"
    if name not in BACKENDS:
        raise UsageError(f"KERAS_BACKEND: got {name}; expected one of {', '.join(BACKENDS)}")
    if importlib.util.find_spec(name) is None:
        raise RuntimeMissingError(_missing(name))
    return name


def _missing(name: str) -> str:
    here = [other for other in BACKENDS if importlib.util.find_spec(other) is not None]
    instead = f"set KERAS_BACKEND={here[0]}, which is installed" if here else "choose another"
    return (
        f"KERAS_BACKEND: {name} is not installed; run `{BACKENDS[name]}` (without an NVIDIA GPU: "
        f"`pip install {name}`), or {instead}"
    )


def _configured_backend() -> str | None:
    """Return the backend in ``keras.json``, read as Keras does; None if it names none."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        return str(json.loads((home / "keras.json").read_text(encoding="utf-8"))["backend"])
    except Exception:  # Keras itself goes on without it as well
        return None


def set_environment() -> None:
    """Set the variables that the backends read when they start; call it before importing Keras."""
    os.environ.update(_FORCED)
    for name, value in _PREFERRED.items():
        os.environ.setdefault(name, value)


def use_full_float32(run: Callable[[tuple[str, ...]], str] = run_command) -> Device:
    """Switch every shortcut in float32 off and return the device that Keras computes on.

    Args:
        run: Runs ``nvidia-smi`` and returns what it prints.

    Returns:
        The best device that the backend has here.
    """
    set_environment()
    import keras

    from converters.keras_defaults import use_keras_defaults

    name = keras.backend.backend()
    use_keras_defaults()
    match name:
        case "tensorflow":
            found = _prepare_tensorflow()
        case "jax":
            found = _prepare_jax()
        case "torch":
            found = _prepare_torch()
        case _:
            found = None
    backend = f"{name} {importlib.import_module(name).__version__}"
    return _describe(found, backend, find_gpus(run).gpus)


def _describe(found: _Accelerator | None, backend: str, gpus: tuple[Gpu, ...]) -> Device:
    """Combine the backend's description of its device with the list of ``nvidia-smi``."""
    if found is not None:
        gpu = next((gpu for gpu in gpus if gpu.name == found.name), gpus[0] if gpus else None)
        details = {**_driver(gpu), **_libraries(), **found.details}
        return Device(f"GPU: {found.name}", True, backend, details)
    processor = describe_machine({}).processor
    if not gpus:
        return Device(f"CPU: no GPU was found ({processor})", False, backend)
    name = backend.split()[0]
    warning = f"{name} does not use the {gpus[0].name} that nvidia-smi lists"
    install = BACKENDS.get(name)
    advice = f"; `{install}` brings a build that does" if install else ""
    return Device(f"CPU: {warning} ({processor})", False, backend, {}, warning + advice)


def _driver(gpu: Gpu | None) -> dict[str, str]:
    if gpu is None:
        return {}
    memory = {} if gpu.memory_bytes is None else {"memory": f"{gpu.memory_bytes / 2**30:.0f} GiB"}
    return {"driver": gpu.driver, **memory}


def _libraries() -> dict[str, str]:
    """Return the versions of NVIDIA's libraries, which all three backends install as packages."""
    found = {}
    for title, package in _LIBRARIES.items():
        names = [f"nvidia-{package}{suffix}" for suffix in _SUFFIXES]
        if (version := installed_version(*names)) is not None:
            found[title] = version
    return found


def _prepare_tensorflow() -> _Accelerator | None:
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # it warns when several networks are traced
    tf.config.experimental.enable_tensor_float_32_execution(False)
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return None
    known = tf.config.experimental.get_device_details(gpus[0])
    build = tf.sysconfig.get_build_info()
    details = {
        "compute capability": ".".join(map(str, known.get("compute_capability", ()))),
        "CUDA": str(build.get("cuda_version", "")),
        "cuDNN of the build": str(build.get("cudnn_version", "")),
    }
    return _Accelerator(str(known.get("device_name", gpus[0].name)), _known(details))


def _prepare_jax() -> _Accelerator | None:
    jax = importlib.import_module("jax")
    jax.config.update("jax_default_matmul_precision", "highest")
    device = jax.devices()[0]
    if device.platform == "cpu":
        return None
    version = " ".join(str(getattr(device.client, "platform_version", "")).split())
    capability = str(getattr(device, "compute_capability", ""))
    details = {"compute capability": capability, "platform": version}
    return _Accelerator(str(device.device_kind), _known(details))


def _prepare_torch() -> _Accelerator | None:
    torch = importlib.import_module("torch")
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False  # convolutions; on unless it is switched off
    # A search for the fastest kernel may choose another one in the next run, and its last bits
    # differ.
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    if torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability(0)
        details = {
            "compute capability": f"{major}.{minor}",
            "CUDA": str(torch.version.cuda or ""),
            "ROCm": str(torch.version.hip or ""),
            "cuDNN": str(torch.backends.cudnn.version() or ""),
        }
        return _Accelerator(str(torch.cuda.get_device_name(0)), _known(details))
    if torch.backends.mps.is_available():  # Keras takes it then
        return _Accelerator("Apple Metal", {})
    return None


def _known(details: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in details.items() if value}
