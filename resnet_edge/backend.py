"""Full float32 on whatever backend Keras runs on: TensorFlow, JAX or PyTorch.

Only the backend in use is imported. GPUs of NVIDIA's Ampere and later shorten float32 products to
TF32's 10 bits of mantissa unless told otherwise; a reference must not.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from resnet_edge.errors import RuntimeMissingError
from resnet_edge.machine import describe_machine


@dataclass(frozen=True)
class Device:
    """Where Keras computes."""

    description: str
    """In words, for a person."""
    is_gpu: bool
    backend: str
    """Name and version, for instance ``tensorflow 2.21.0``."""


def keras_backend() -> str:
    """The backend that Keras takes here, without the seconds that importing Keras takes.

    Returns:
        ``tensorflow``, ``jax``, ``torch`` or whatever else Keras is told.

    Raises:
        RuntimeMissingError: It is not installed.
    """
    if "keras" in sys.modules:
        return str(sys.modules["keras"].backend.backend())
    name = os.environ.get("KERAS_BACKEND") or _configured_backend() or "tensorflow"
    if importlib.util.find_spec(name) is None:
        raise RuntimeMissingError(
            f"KERAS_BACKEND: {name} is not installed; run `pip install {name}`, or choose another"
        )
    return name


def _configured_backend() -> str | None:
    """What ``keras.json`` says, as Keras reads it."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        return str(json.loads((home / "keras.json").read_text())["backend"])
    except (OSError, ValueError, KeyError, TypeError):  # Keras itself goes on without it as well
        return None


def use_full_float32() -> Device:
    """Switch every shortcut in float32 off and say where Keras computes.

    Returns:
        The best device that the backend has here.
    """
    import keras

    name = keras.backend.backend()
    keras.config.set_floatx("float32")
    match name:
        case "tensorflow":
            gpu = _prepare_tensorflow()
        case "jax":
            gpu = _prepare_jax()
        case "torch":
            gpu = _prepare_torch()
        case _:
            gpu = None
    version = importlib.import_module(name).__version__
    if gpu is None:
        return Device(
            f"CPU: no GPU was found ({describe_machine({}).processor})", False, f"{name} {version}"
        )
    return Device(f"GPU: {gpu}", True, f"{name} {version}")


def _prepare_tensorflow() -> str | None:
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return None
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name))


def _prepare_jax() -> str | None:
    jax = importlib.import_module("jax")
    jax.config.update("jax_default_matmul_precision", "highest")
    device = jax.devices()[0]
    return None if device.platform == "cpu" else str(device.device_kind)


def _prepare_torch() -> str | None:
    torch = importlib.import_module("torch")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else None
